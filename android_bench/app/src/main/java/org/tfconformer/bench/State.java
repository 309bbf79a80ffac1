package org.tfconformer.bench;

/** Where the benchmark is. Immutable. */
final class State {
  static final State IDLE = new State(false, 0, 0, "", null);

  final boolean running;
  final int done;
  final int total;
  final String stage;

  /** Of the last benchmark that ended; null before the first and during one. */
  final Report report;

  private State(boolean running, int done, int total, String stage, Report report) {
    this.running = running;
    this.done = done;
    this.total = total;
    this.stage = stage;
    this.report = report;
  }

  static State running(int done, int total, String stage) {
    return new State(true, done, total, stage, null);
  }

  static State ended(Report report) {
    return new State(false, 0, 0, "", report);
  }
}
