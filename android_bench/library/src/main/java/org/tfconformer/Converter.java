package org.tfconformer;

import android.content.Context;
import java.io.File;

/**
 * Converts speech to speech of one voice, with a file of {@code tfconformer export --streaming --vocoder RUN}: the
 * encoder runs while one speaks, the speech is made by {@link #result}.
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
    super(context, asset, threads, true);
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
    super(file, threads, true);
  }

  /**
   * Ends the utterance and makes its speech; {@link #reset} begins the next one.
   *
   * @return samples in [-1, 1]; none if nothing was said
   */
  public synchronized float[] result() {
    finish();
    return takeSpeech();
  }
}
