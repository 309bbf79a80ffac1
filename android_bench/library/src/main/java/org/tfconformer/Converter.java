package org.tfconformer;

import android.content.Context;
import java.io.File;

/**
 * Converts speech to speech of one voice, with a file of {@code tfconformer export --streaming --vocoder RUN}. The
 * encoder runs while one speaks. Without a lag {@link #result} makes the speech; with one it is made while one speaks, and
 * {@link #speech} takes it out.
 */
public final class Converter extends SpeechStream {
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
    this(context, asset, threads, 0);
  }

  /**
   * Opens a model in the app's assets.
   *
   * @param threads of the runtime; more than the phone has big cores are slower than fewer
   * @param lagMillis time by which the conversion begins behind the speaker, one that the model was trained for; 0: after
   *     the end of the utterance
   * @throws SpeechException see the other constructors
   */
  public Converter(Context context, String asset, int threads, int lagMillis) {
    super(context, asset, threads, true, lagMillis);
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
    this(file, threads, 0);
  }

  /** Opens a model that is a file; see the other constructors. */
  public Converter(File file, int threads, int lagMillis) {
    super(file, threads, true, lagMillis);
  }

  /**
   * Takes out the speech so far.
   *
   * @return samples in [-1, 1] that no call returned before; before the end of the utterance there are some only with a
   *     lag
   */
  public synchronized float[] speech() {
    return takeSpeech();
  }

  /**
   * Ends the utterance and makes the rest of its speech; {@link #reset} begins the next one.
   *
   * @return samples in [-1, 1] that no call returned before; none if nothing was said
   */
  public synchronized float[] result() {
    finish();
    return takeSpeech();
  }
}
