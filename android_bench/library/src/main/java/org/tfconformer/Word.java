package org.tfconformer;

import java.util.Locale;

/**
 * A recognized word. Its times are those of the encoder's frames, 40 ms each unless the model says otherwise, less the
 * delay of the model's tokens, if that was measured at export. Words do not overlap.
 */
public final class Word {
  private final String text;
  private final double start;
  private final double end;
  private final double confidence;

  Word(String text, double start, double end, double confidence) {
    this.text = text;
    this.start = start;
    this.end = end;
    this.confidence = confidence;
  }

  public String getText() {
    return text;
  }

  /** Returns the seconds from the beginning of the utterance to that of the word. */
  public double getStart() {
    return start;
  }

  /** Returns the seconds from the beginning of the utterance to the end of the word. */
  public double getEnd() {
    return end;
  }

  /** Returns the probability of the word's least likely token, in [0, 1]. */
  public double getConfidence() {
    return confidence;
  }

  @Override
  public String toString() {
    return String.format(Locale.ROOT, "%s [%.2f, %.2f] %.2f", text, start, end, confidence);
  }
}
