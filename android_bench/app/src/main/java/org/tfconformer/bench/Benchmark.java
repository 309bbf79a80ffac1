package org.tfconformer.bench;

import android.content.Context;
import android.util.Log;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CancellationException;

/**
 * One benchmark at a time for the whole process, on a thread of its own: it outlives an activity that is turned.
 *
 * <p>However a benchmark ends, its report is written to the app's external files folder and one line is logged. The
 * speech of a model that converts is written there too, into the folder {@code speech}.
 */
final class Benchmark {
  /** Told about every change, on the thread that caused it. */
  interface Listener {
    void onChange(State state);
  }

  private static final String TAG = "tfconformer";
  private static final String SPEECH_OPTION = "--speech=";
  private static final String SPEECH_FOLDER = "speech";
  private static final Benchmark INSTANCE = new Benchmark();

  private volatile State state = State.IDLE;
  private volatile boolean cancelled;
  private volatile Listener listener;

  private Benchmark() {}

  static Benchmark ofThisProcess() {
    return INSTANCE;
  }

  State state() {
    return state;
  }

  /** @param listener replaces the one before; null for none */
  void listen(Listener listener) {
    this.listener = listener;
  }

  /** The benchmark ends after the run that it is in. */
  void cancel() {
    cancelled = true;
  }

  /**
   * Starts a benchmark; while another one runs, it only logs that.
   *
   * @param arguments of the native core; {@code --model} may name a bundled model
   * @param reportName file name of the report
   */
  synchronized void start(Context context, String arguments, String reportName) {
    if (state.running) {
      Log.e(TAG, reportName + " ended: error: another benchmark is running");
      return;
    }
    cancelled = false;
    change(State.running(0, 0, "starting"));
    Context application = context.getApplicationContext();
    new Thread(() -> run(application, arguments, reportName), "benchmark").start();
  }

  private void run(Context context, String arguments, String reportName) {
    Report report;
    try {
      File folder = context.getExternalFilesDir(null);
      report = measure(new Models(context), withSpeech(arguments, new File(folder, SPEECH_FOLDER)));
      write(new File(folder, new File(reportName).getName()), report);
    } catch (IOException error) {
      report = Report.ofError(error.getMessage());
    }
    Log.i(TAG, reportName + " ended: " + report.line());
    change(State.ended(report));
  }

  /** Adds the folder for converted speech, unless the arguments name one. */
  private static String withSpeech(String arguments, File folder) throws IOException {
    if (arguments.contains(SPEECH_OPTION)) {
      return arguments;
    }
    if (!folder.isDirectory() && !folder.mkdirs()) {
      throw new IOException("the folder " + folder + " cannot be made");
    }
    return arguments + " " + SPEECH_OPTION + '"' + folder + '"';
  }

  private Report measure(Models models, String arguments) {
    try {
      return Report.parse(Native.run(models.unpackNamedIn(arguments), this::progress));
    } catch (CancellationException error) {
      return Report.ofError("cancelled");
    } catch (IllegalArgumentException | IOException error) {
      return Report.ofError(error.getMessage());
    } catch (LinkageError error) {
      return Report.ofError("the native library cannot be loaded: " + error.getMessage());
    }
  }

  private static void write(File file, Report report) throws IOException {
    byte[] content = report.json().getBytes(StandardCharsets.UTF_8);
    Files.write(file, output -> output.write(content));
  }

  private void progress(int done, int total, String stage) {
    if (cancelled) {
      throw new CancellationException();
    }
    change(State.running(done, total, stage));
  }

  private void change(State changed) {
    state = changed;
    Listener told = listener;
    if (told != null) {
      told.onChange(changed);
    }
  }
}
