package org.tfconformer;

import android.content.Context;
import android.content.res.AssetFileDescriptor;
import android.os.ParcelFileDescriptor;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/**
 * Audio through a model: what a {@link Recognizer} and a {@link Converter} share.
 *
 * <p>The model is mapped into memory, not read, so that its weights take memory only where they are used, and the system
 * can drop and read them again. An asset must be stored uncompressed: {@code androidResources { noCompress += "tflite" }}.
 *
 * <p>All methods may be called from any thread. Calls of one stream follow each other, and {@link #acceptWaveform}
 * computes, so call it from a thread of its own, which is not the main one. Several streams run at the same time. Between
 * utterances memory does not grow; call {@link #reset} after each.
 */
public abstract class SpeechStream implements AutoCloseable {
  /** 16-bit numbers for 1.0. */
  private static final float FULL_SCALE = 32768;

  private final int sampleRate;
  private long handle;

  /** Opens a model in the app's assets; {@code converts} says which kind is expected. */
  SpeechStream(Context context, String asset, int threads, boolean converts, int lagMillis) {
    this(openAsset(context, asset, threads, converts, lagMillis));
  }

  /** Opens a model that is a file; {@code converts} says which kind is expected. */
  SpeechStream(File path, int threads, boolean converts, int lagMillis) {
    this(openFile(path, threads, converts, lagMillis));
  }

  private SpeechStream(JSONObject opened) {
    handle = opened.optLong("stream");
    sampleRate = opened.optInt("sample_rate");
  }

  private static JSONObject openAsset(Context context, String asset, int threads, boolean converts, int lagMillis) {
    try (AssetFileDescriptor part = context.getAssets().openFd(asset)) {
      ParcelFileDescriptor file = part.getParcelFileDescriptor();
      return open(file, part.getStartOffset(), part.getLength(), threads, converts, lagMillis);
    } catch (IOException error) {
      throw new SpeechException(
          "the asset " + asset + " is missing, or compressed: androidResources { noCompress += \"tflite\" } stores it"
              + " as it is",
          error);
    } catch (SpeechException error) {
      throw new SpeechException("the asset " + asset + ": " + error.getMessage(), error);
    }
  }

  private static JSONObject openFile(File path, int threads, boolean converts, int lagMillis) {
    try (ParcelFileDescriptor file = ParcelFileDescriptor.open(path, ParcelFileDescriptor.MODE_READ_ONLY)) {
      return open(file, 0, file.getStatSize(), threads, converts, lagMillis);
    } catch (IOException error) {
      throw new SpeechException("cannot read " + path + ": " + error.getMessage(), error);
    } catch (SpeechException error) {
      throw new SpeechException(path + ": " + error.getMessage(), error);
    }
  }

  /** One at a time for all streams: the native core prepares what they share. */
  private static JSONObject open(
      ParcelFileDescriptor file, long offset, long size, int threads, boolean converts, int lagMillis) {
    if (threads < 1) {
      throw new IllegalArgumentException("the number of threads should be 1 or more, got " + threads);
    }
    if (lagMillis < 0) {
      throw new IllegalArgumentException("the lag should be 0 ms or more, got " + lagMillis);
    }
    synchronized (SpeechStream.class) {
      try {
        return parse(NativeStream.open(file.getFd(), offset, size, threads, converts, lagMillis));
      } catch (LinkageError error) {
        throw new SpeechException("the native library cannot be loaded: " + error.getMessage(), error);
      }
    }
  }

  /** Returns the samples a second of the audio that is accepted, usually 16000, and of speech that is made. */
  public int getSampleRate() {
    return sampleRate;
  }

  /**
   * Takes the next samples of the utterance and computes what is complete.
   *
   * @param samples in [-1, 1], one channel, of which the first {@code count} are taken
   * @throws SpeechException for samples that are not finite or far outside, of which none are taken, and after the end
   *     of the utterance
   */
  public synchronized void acceptWaveform(float[] samples, int count) {
    requireOpen();
    if (count < 0 || count > samples.length) {
      throw new IllegalArgumentException(
          "the number of samples should be 0 to " + samples.length + ", the length of the array, got " + count);
    }
    check(NativeStream.accept(handle, samples, count));
  }

  /** Takes 16-bit samples; see the other method. */
  public void acceptWaveform(short[] samples, int count) {
    float[] scaled = new float[samples.length];
    for (int i = 0; i < Math.min(count, samples.length); i++) {
      scaled[i] = samples[i] / FULL_SCALE;
    }
    acceptWaveform(scaled, count);
  }

  /** Returns the words so far; those of the source, of a converter. */
  public synchronized Result partialResult() {
    requireOpen();
    JSONArray array = parse(NativeStream.words(handle)).optJSONArray("words");
    List<Word> words = new ArrayList<>();
    for (int i = 0; i < array.length(); i++) {
      JSONObject one = array.optJSONObject(i);
      words.add(
          new Word(one.optString("text"), one.optDouble("start"), one.optDouble("end"), one.optDouble("confidence")));
    }
    return new Result(words);
  }

  /**
   * Returns true if the utterance is over: after 2.4 s of silence, 1.2 s of silence after a word, or 20 s altogether, as
   * Kaldi has it. The caller ends it.
   */
  public synchronized boolean isEndpoint() {
    requireOpen();
    return NativeStream.isEndpoint(handle);
  }

  /** Begins the next utterance, with the samples that no step has computed yet unless this one was ended. */
  public synchronized void reset() {
    requireOpen();
    NativeStream.reset(handle);
  }

  /** Frees the model. Other methods throw an IllegalStateException afterwards. */
  @Override
  public synchronized void close() {
    if (handle != 0) {
      NativeStream.close(handle);
      handle = 0;
    }
  }

  synchronized void finish() {
    requireOpen();
    check(NativeStream.finish(handle));
  }

  synchronized float[] takeSpeech() {
    requireOpen();
    return NativeStream.takeSpeech(handle);
  }

  private void requireOpen() {
    if (handle == 0) {
      throw new IllegalStateException("it was closed");
    }
  }

  /** @param json null where nothing failed */
  private static void check(String json) {
    if (json != null) {
      parse(json);
    }
  }

  private static JSONObject parse(String json) {
    try {
      JSONObject object = new JSONObject(String.valueOf(json));
      if (object.has("error")) {
        throw new SpeechException(object.optString("error"));
      }
      return object;
    } catch (JSONException error) {
      throw new SpeechException("the native core has no memory for an answer", error);
    }
  }
}
