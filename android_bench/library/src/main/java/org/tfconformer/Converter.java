package org.tfconformer;

import android.content.Context;
import java.io.File;

/**
 * Converts speech to speech of one voice, with a file of {@code tfconformer export --streaming --vocoder RUN}: the
 * encoder runs while one speaks, the speech is made by {@link #result}.
 *
 * <p>Assets, memory and threads are as those of {@link Recognizer}.
 */
public final class Converter implements AutoCloseable {
  private final SpeechStream stream;

  /**
   * Opens a model in the app's assets, with one thread.
   *
   * @throws SpeechException if the asset cannot be opened, is no model of conversion, or the phone cannot run it
   */
  public Converter(Context context, String asset) {
    this(context, asset, 1);
  }

  /** Opens a model in the app's assets; see the other constructors. */
  public Converter(Context context, String asset, int threads) {
    stream = SpeechStream.ofAsset(context, asset, threads, true);
  }

  /**
   * Opens a model that is a file, with one thread.
   *
   * @throws SpeechException if the file cannot be read, is no model of conversion, or the phone cannot run it
   */
  public Converter(File file) {
    this(file, 1);
  }

  /** Opens a model that is a file; see the other constructors. */
  public Converter(File file, int threads) {
    stream = SpeechStream.ofFile(file, threads, true);
  }

  /** Returns the samples a second of the audio that is accepted and of the speech that is made. */
  public int getSampleRate() {
    return stream.sampleRate();
  }

  /**
   * Takes the next samples of the utterance.
   *
   * @param samples in [-1, 1], one channel, of which the first {@code count} are taken
   * @throws SpeechException see {@link Recognizer#acceptWaveform(float[], int)}
   */
  public void acceptWaveform(float[] samples, int count) {
    stream.accept(samples, count);
  }

  /** Takes 16-bit samples; see the other method. */
  public void acceptWaveform(short[] samples, int count) {
    stream.accept(samples, count);
  }

  /** Returns the words of the source so far. */
  public Result partialResult() {
    return stream.words();
  }

  /** Returns true if the utterance is over; see {@link Recognizer#isEndpoint}. */
  public boolean isEndpoint() {
    return stream.isEndpoint();
  }

  /**
   * Ends the utterance and makes its speech; {@link #reset} begins the next one.
   *
   * @return samples in [-1, 1]; none if nothing was said
   */
  public float[] result() {
    stream.finish();
    return stream.takeSpeech();
  }

  /** Begins the next utterance; see {@link Recognizer#reset}. */
  public void reset() {
    stream.reset();
  }

  /** Frees the model. Other methods throw an IllegalStateException afterwards. */
  @Override
  public void close() {
    stream.close();
  }
}
