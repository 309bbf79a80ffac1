package org.tfconformer.bench;

import java.io.IOException;
import org.tfconformer.Converter;
import org.tfconformer.Recognizer;
import org.tfconformer.SpeechException;

/** What is done with the speech of the microphone until it is stopped, on a thread of its own. */
final class Live {
  /** Called on that thread. */
  interface Listener {
    /**
     * @param text words of an utterance, which may grow unless it is final
     */
    void onText(String text, boolean isFinal);

    /** @param error one sentence; null if it was stopped */
    void onEnd(String error);
  }

  /** Opens a model, and works until the microphone is closed. */
  private interface Work {
    void run() throws IOException;
  }

  /** A tenth of a second at a time. */
  private static final int CHUNKS_PER_SECOND = 10;

  private final Models models;
  private final String model;
  private final Listener listener;
  private volatile boolean stopped;

  /** @param model name of a bundled model, or path of another one */
  Live(Models models, String model, Listener listener) {
    this.models = models;
    this.model = model;
    this.listener = listener;
  }

  /** Shows words while one speaks. */
  void recognize() {
    start(this::recognizeUntilStopped);
  }

  /** Says every utterance again, in the voice of the model. */
  void convert() {
    start(this::convertUntilStopped);
  }

  /** Ends the recording; the words so far are still recognized. */
  void stop() {
    stopped = true;
  }

  private void start(Work work) {
    new Thread(() -> run(work), "live").start();
  }

  private void run(Work work) {
    String error = null;
    try {
      work.run();
    } catch (IOException | SpeechException failure) {
      error = failure.getMessage();
    }
    listener.onEnd(error);
  }

  private void recognizeUntilStopped() throws IOException {
    try (Recognizer recognizer = models.openRecognizer(model)) {
      short[] samples = new short[recognizer.getSampleRate() / CHUNKS_PER_SECOND];
      try (Microphone microphone = new Microphone(recognizer.getSampleRate(), CHUNKS_PER_SECOND * samples.length)) {
        while (!stopped) {
          recognizer.acceptWaveform(samples, microphone.read(samples));
          if (recognizer.isEndpoint()) {
            listener.onText(recognizer.result().getText(), true);
            recognizer.reset();
          } else {
            listener.onText(recognizer.partialResult().getText(), false);
          }
        }
      }
      listener.onText(recognizer.result().getText(), true);
    }
  }

  private void convertUntilStopped() throws IOException {
    try (Converter converter = models.openConverter(model)) {
      while (!stopped) {
        convertUtterance(converter);
      }
    }
  }

  private void convertUtterance(Converter converter) throws IOException {
    int rate = converter.getSampleRate();
    short[] samples = new short[rate / CHUNKS_PER_SECOND];
    // Closed before the speech is played, which would be recorded too.
    try (Microphone microphone = new Microphone(rate, CHUNKS_PER_SECOND * samples.length)) {
      while (!stopped && !converter.isEndpoint()) {
        converter.acceptWaveform(samples, microphone.read(samples));
        listener.onText(converter.partialResult().getText(), false);
      }
    }
    float[] speech = converter.result();
    listener.onText(converter.partialResult().getText(), true);
    if (speech.length > 0) {
      Loudspeaker.play(speech, rate);
    }
    converter.reset();
  }
}
