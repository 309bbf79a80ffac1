package org.tfconformer;

import java.util.Collections;
import java.util.List;

/** The words of an utterance, so far or altogether. */
public final class Result {
  private final List<Word> words;

  Result(List<Word> words) {
    this.words = Collections.unmodifiableList(words);
  }

  /** Returns the words with spaces between them. */
  public String getText() {
    StringBuilder text = new StringBuilder();
    for (Word word : words) {
      text.append(text.length() == 0 ? "" : " ").append(word.getText());
    }
    return text.toString();
  }

  public List<Word> getWords() {
    return words;
  }

  @Override
  public String toString() {
    return getText();
  }
}
