package org.tfconformer;

import android.content.Context;
import java.io.File;

/**
 * Recognizes speech as it arrives, with a file of {@code tfconformer export --streaming}:
 *
 * <pre>{@code
 * try (Recognizer recognizer = new Recognizer(context, "live.tflite")) {
 *   while ((count = microphone.read(samples, 0, samples.length)) > 0) {
 *     recognizer.acceptWaveform(samples, count);
 *     if (recognizer.isEndpoint()) {
 *       show(recognizer.result().getText());
 *       recognizer.reset();
 *     } else {
 *       showGrowing(recognizer.partialResult().getText());
 *     }
 *   }
 * }
 * }</pre>
 *
 * <p>A file for whole utterances works too; its words are all there with {@link #result}, and none before.
 */
public final class Recognizer extends SpeechStream {
  /**
   * Opens a model in the app's assets, with one thread.
   *
   * @throws SpeechException if the asset cannot be opened, is no model of recognition, or the phone cannot run it
   */
  public Recognizer(Context context, String asset) {
    this(context, asset, 1);
  }

  /**
   * Opens a model in the app's assets.
   *
   * @param threads of the runtime; more than the phone has big cores are slower than fewer
   * @throws SpeechException see the other constructors
   */
  public Recognizer(Context context, String asset, int threads) {
    super(context, asset, threads, false, 0);
  }

  /**
   * Opens a model that is a file, with one thread.
   *
   * @throws SpeechException if the file cannot be read, is no model of recognition, or the phone cannot run it
   */
  public Recognizer(File file) {
    this(file, 1);
  }

  /** Opens a model that is a file; see the other constructors. */
  public Recognizer(File file, int threads) {
    super(file, threads, false, 0);
  }

  /** Ends the utterance and returns all of its words; {@link #reset} begins the next one. */
  public synchronized Result result() {
    finish();
    return partialResult();
  }
}
