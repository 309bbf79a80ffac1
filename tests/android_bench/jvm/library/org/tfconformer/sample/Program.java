package org.tfconformer.sample;

import android.content.Context;
import device.Device;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.util.Locale;
import org.tfconformer.Converter;
import org.tfconformer.Recognizer;
import org.tfconformer.Result;
import org.tfconformer.SpeechException;
import org.tfconformer.Word;

/**
 * Uses the library as an app does; each argument is a task, "NAME MODEL AUDIO". Prints what an app would show, tab by
 * tab. Audio is float32 in the folder of the device.
 */
public final class Program {
  private static final int CHUNK = 1000;
  private static final Context CONTEXT = new Context();

  private Program() {}

  public static void main(String[] tasks) throws IOException, InterruptedException {
    for (String task : tasks) {
      String[] words = task.split(" ");
      System.out.println("task\t" + task);
      switch (words[0]) {
        case "stream":
          stream(new Recognizer(CONTEXT, words[1]), audio(words[2]));
          break;
        case "file":
          file(Device.folder(words[1]), audio(words[2]));
          break;
        case "threads":
          threads(words[1], audio(words[2]));
          break;
        case "convert":
          convert(words[1], audio(words[2]), words[3]);
          break;
        case "follow":
          follow(words[1], audio(words[2]), Integer.parseInt(words[3]), words[4]);
          break;
        case "errors":
          errors(words[1], words[2]);
          break;
        default:
          throw new IllegalArgumentException(task);
      }
    }
  }

  /** After every chunk the words so far; an utterance that is over is left as it is, and the next one begins. */
  private static void stream(Recognizer recognizer, float[] audio) {
    System.out.println("rate\t" + recognizer.getSampleRate());
    for (int begin = 0; begin < audio.length; begin += CHUNK) {
      float[] chunk = chunk(audio, begin);
      recognizer.acceptWaveform(chunk, Math.min(CHUNK, audio.length - begin));
      boolean over = recognizer.isEndpoint();
      System.out.println((over ? "over\t" : "partial\t") + recognizer.partialResult().getText());
      if (over) {
        recognizer.reset();
      }
    }
    print(recognizer.result());
    recognizer.reset();
    print(recognizer.partialResult());
    recognizer.close();
    recognizer.close();
  }

  /** A model that is a file, two threads, and 16-bit samples. */
  private static void file(File model, float[] audio) {
    short[] samples = new short[audio.length];
    for (int i = 0; i < audio.length; i++) {
      samples[i] = (short) Math.round(32768 * audio[i]);
    }
    try (Recognizer recognizer = new Recognizer(model, 2)) {
      recognizer.acceptWaveform(samples, samples.length);
      print(recognizer.result());
    }
  }

  /** One thread speaks, another reads, a third has a recognizer of its own. */
  private static void threads(String asset, float[] audio) throws InterruptedException {
    try (Recognizer shared = new Recognizer(CONTEXT, asset); Recognizer own = new Recognizer(CONTEXT, asset)) {
      Thread reader =
          new Thread(
              () -> {
                for (int i = 0; i < 20; i++) {
                  shared.partialResult();
                }
              });
      Thread other = new Thread(() -> own.acceptWaveform(audio, audio.length));
      reader.start();
      other.start();
      shared.acceptWaveform(audio, audio.length);
      reader.join();
      other.join();
      print(shared.result());
      print(own.result());
    }
  }

  private static void convert(String asset, float[] audio, String output) throws IOException {
    try (Converter converter = new Converter(CONTEXT, asset)) {
      for (int utterance = 0; utterance < 2; utterance++) {
        converter.acceptWaveform(audio, audio.length);
        float[] speech = converter.result();
        print(converter.partialResult());
        System.out.println("endpoint\t" + converter.isEndpoint() + "\t" + converter.getSampleRate());
        Files.write(Device.folder(output + utterance).toPath(), bytes(speech));
        converter.reset();
      }
    }
    Converter closed = new Converter(Device.folder("assets/" + asset));
    closed.close();
    fails(() -> closed.acceptWaveform(new short[1], 1));
    fails(() -> new Converter(Device.folder("assets/" + asset), 0));
    fails(() -> new Converter(Device.folder("assets/" + asset), 1, -1));
  }

  /** Converts behind the speaker; prints the samples of the source and the first ones of speech that were there. */
  private static void follow(String asset, float[] audio, int lagMillis, String output) throws IOException {
    ByteArrayOutputStream spoken = new ByteArrayOutputStream();
    try (Converter converter = new Converter(CONTEXT, asset, 1, lagMillis)) {
      for (int begin = 0; begin < audio.length; begin += CHUNK) {
        int count = Math.min(CHUNK, audio.length - begin);
        converter.acceptWaveform(chunk(audio, begin), count);
        float[] speech = converter.speech();
        if (speech.length > 0 && spoken.size() == 0) {
          System.out.println("first\t" + (begin + count));
        }
        spoken.write(bytes(speech));
      }
      spoken.write(bytes(converter.result()));
    }
    Files.write(Device.folder(output).toPath(), spoken.toByteArray());
  }

  private static byte[] bytes(float[] samples) {
    ByteBuffer bytes = ByteBuffer.allocate(4 * samples.length).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(samples);
    return bytes.array();
  }

  private static void errors(String recognizes, String converts) {
    fails(() -> new Recognizer(CONTEXT, "none.tflite"));
    fails(() -> new Recognizer(CONTEXT, "compressed.bin"));
    fails(() -> new Recognizer(Device.folder("none.tflite")));
    fails(() -> new Recognizer(CONTEXT, "noise.tflite"));
    fails(() -> new Recognizer(CONTEXT, converts));
    fails(() -> new Converter(CONTEXT, recognizes));
    fails(() -> new Recognizer(CONTEXT, recognizes, 0));
    Recognizer recognizer = new Recognizer(CONTEXT, recognizes);
    fails(() -> recognizer.acceptWaveform(new float[] {0, Float.NaN}, 2));
    fails(() -> recognizer.acceptWaveform(new float[] {12000}, 1));
    fails(() -> recognizer.acceptWaveform(new float[3], 4));
    fails(() -> recognizer.acceptWaveform(new short[3], -1));
    print(recognizer.result());
    fails(() -> recognizer.acceptWaveform(new float[3], 3));
    recognizer.close();
    fails(recognizer::partialResult);
  }

  private static void fails(Runnable action) {
    try {
      action.run();
      System.out.println("no error");
    } catch (SpeechException | IllegalArgumentException | IllegalStateException error) {
      System.out.println(error.getClass().getSimpleName() + "\t" + error.getMessage());
    }
  }

  private static void print(Result result) {
    System.out.println("result\t" + result);
    for (Word word : result.getWords()) {
      Object[] values = {word.getText(), word.getStart(), word.getEnd(), word.getConfidence(), word};
      System.out.println(String.format(Locale.ROOT, "word\t%s\t%.9f\t%.9f\t%.9f\t%s", values));
    }
  }

  private static float[] chunk(float[] audio, int begin) {
    float[] chunk = new float[CHUNK];
    System.arraycopy(audio, begin, chunk, 0, Math.min(CHUNK, audio.length - begin));
    return chunk;
  }

  private static float[] audio(String name) throws IOException {
    byte[] bytes = Files.readAllBytes(Device.folder(name).toPath());
    float[] samples = new float[bytes.length / 4];
    ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(samples);
    return samples;
  }
}
