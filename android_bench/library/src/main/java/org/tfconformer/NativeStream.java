package org.tfconformer;

/** The native core. What may fail returns JSON, in which "error" is one sentence. */
final class NativeStream {
  static {
    System.loadLibrary("tfconformer");
  }

  private NativeStream() {}

  /**
   * Opens a model that lies in an open file; one call at a time.
   *
   * @param descriptor of the file, which may be closed afterwards
   * @param offset first byte of the model
   * @param size its bytes
   * @param threads of the runtime
   * @param converts true for a model of conversion, false for a recognizer
   * @param lagMillis time by which a converter begins behind the speaker, 0 after the end of the utterance
   * @return JSON with "stream", the handle for the other calls, and "sample_rate"
   */
  static native String open(int descriptor, long offset, long size, int threads, boolean converts, int lagMillis);

  /** Computes the whole steps of the first {@code count} samples and those before; returns null or an error. */
  static native String accept(long stream, float[] samples, int count);

  /** Ends the utterance; returns null or an error. */
  static native String finish(long stream);

  /** Returns JSON with "words", an array of objects with "text", "start", "end" and "confidence". */
  static native String words(long stream);

  /** Takes out the converted speech that was not taken before. */
  static native float[] takeSpeech(long stream);

  static native boolean isEndpoint(long stream);

  static native void reset(long stream);

  static native void close(long stream);
}
