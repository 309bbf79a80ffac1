package org.tfconformer.bench;

/** The native core, the same one that the command-line program has. */
final class Native {
  static {
    System.loadLibrary("tfconformer_bench");
  }

  private Native() {}

  /**
   * Runs a benchmark on the calling thread.
   *
   * @param arguments as those of the command-line program, separated by spaces
   * @param progress told about every run; an exception that it throws ends the benchmark and is thrown on
   * @return the report, a JSON object; that of a benchmark that failed has a member "error"
   */
  static native String run(String arguments, Progress progress);

  /** Version of the native core. */
  static native String version();
}
