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
 *
 * <p>The model is mapped into memory, not read, so that its weights take memory only where they are used, and the system
 * can drop and read them again. An asset must be stored uncompressed: {@code androidResources { noCompress += "tflite" }}.
 *
 * <p>All methods may be called from any thread. Calls of one recognizer follow each other, and {@link #acceptWaveform}
 * computes, so call it from a thread of its own, which is not the main one. Several recognizers run at the same time. Between
 * utterances memory does not grow; call {@link #reset} after each.
 */
public final class Recognizer implements AutoCloseable {
  private final SpeechStream stream;

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
    stream = SpeechStream.ofAsset(context, asset, threads, false);
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
    stream = SpeechStream.ofFile(file, threads, false);
  }

  /** Returns the samples a second that the model takes, usually 16000. */
  public int getSampleRate() {
    return stream.sampleRate();
  }

  /**
   * Takes the next samples of the utterance and recognizes what is complete.
   *
   * @param samples in [-1, 1], one channel, of which the first {@code count} are taken
   * @throws SpeechException for samples that are not finite or far outside, of which none are taken, and after {@link
   *     #result}
   */
  public void acceptWaveform(float[] samples, int count) {
    stream.accept(samples, count);
  }

  /** Takes 16-bit samples; see the other method. */
  public void acceptWaveform(short[] samples, int count) {
    stream.accept(samples, count);
  }

  /** Returns the words so far. */
  public Result partialResult() {
    return stream.words();
  }

  /** Ends the utterance and returns all of its words; {@link #reset} begins the next one. */
  public Result result() {
    stream.finish();
    return stream.words();
  }

  /**
   * Returns true if the utterance is over: after 2.4 s of silence, 1.2 s of silence after a word, or 20 s altogether, as
   * Kaldi has it. The caller ends it.
   */
  public boolean isEndpoint() {
    return stream.isEndpoint();
  }

  /** Begins the next utterance, with the samples that no step has computed yet unless {@link #result} was called. */
  public void reset() {
    stream.reset();
  }

  /** Frees the model. Other methods throw an IllegalStateException afterwards. */
  @Override
  public void close() {
    stream.close();
  }
}
