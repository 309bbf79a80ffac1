package org.tfconformer.bench;

/** Told by the native core how far it is. */
interface Progress {
  /**
   * @param done runs of this stage that are over
   * @param total runs of this stage
   * @param stage what is being done, for a person
   */
  void progress(int done, int total, String stage);
}
