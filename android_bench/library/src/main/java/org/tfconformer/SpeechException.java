package org.tfconformer;

/** A model or audio that cannot be used; the message is one sentence for a person. */
public final class SpeechException extends RuntimeException {
  private static final long serialVersionUID = 1;

  SpeechException(String message) {
    super(message);
  }

  SpeechException(String message, Throwable cause) {
    super(message, cause);
  }
}
