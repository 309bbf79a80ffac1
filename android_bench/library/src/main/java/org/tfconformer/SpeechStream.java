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
 * Audio through a model in the native core: what recognizers and converters share. Each call locks the stream, so that
 * it may be used from several threads; one of them computes, the others stand in line.
 */
final class SpeechStream implements AutoCloseable {
  /** 16-bit numbers for 1.0. */
  private static final float FULL_SCALE = 32768;

  private final int sampleRate;
  private long handle;

  private SpeechStream(ParcelFileDescriptor file, long offset, long size, int threads, boolean converts) {
    if (threads < 1) {
      throw new IllegalArgumentException("the number of threads should be 1 or more, got " + threads);
    }
    JSONObject opened = openNatively(file.getFd(), offset, size, threads, converts);
    handle = opened.optLong("stream");
    sampleRate = opened.optInt("sample_rate");
  }

  static SpeechStream ofAsset(Context context, String asset, int threads, boolean converts) {
    try (AssetFileDescriptor part = context.getAssets().openFd(asset)) {
      ParcelFileDescriptor file = part.getParcelFileDescriptor();
      return new SpeechStream(file, part.getStartOffset(), part.getLength(), threads, converts);
    } catch (IOException error) {
      throw new SpeechException(
          "the asset " + asset + " is missing, or compressed: androidResources { noCompress += \"tflite\" } stores it"
              + " as it is",
          error);
    } catch (SpeechException error) {
      throw new SpeechException("the asset " + asset + ": " + error.getMessage(), error);
    }
  }

  static SpeechStream ofFile(File path, int threads, boolean converts) {
    try (ParcelFileDescriptor file = ParcelFileDescriptor.open(path, ParcelFileDescriptor.MODE_READ_ONLY)) {
      return new SpeechStream(file, 0, file.getStatSize(), threads, converts);
    } catch (IOException error) {
      throw new SpeechException("cannot read " + path + ": " + error.getMessage(), error);
    } catch (SpeechException error) {
      throw new SpeechException(path + ": " + error.getMessage(), error);
    }
  }

  int sampleRate() {
    return sampleRate;
  }

  synchronized void accept(float[] samples, int count) {
    requireOpen();
    if (count < 0 || count > samples.length) {
      throw new IllegalArgumentException(
          "the number of samples should be 0 to " + samples.length + ", the length of the array, got " + count);
    }
    check(NativeStream.accept(handle, samples, count));
  }

  void accept(short[] samples, int count) {
    float[] scaled = new float[samples.length];
    for (int i = 0; i < Math.min(count, samples.length); i++) {
      scaled[i] = samples[i] / FULL_SCALE;
    }
    accept(scaled, count);
  }

  synchronized Result words() {
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

  synchronized void finish() {
    requireOpen();
    check(NativeStream.finish(handle));
  }

  synchronized float[] takeSpeech() {
    requireOpen();
    return NativeStream.takeSpeech(handle);
  }

  synchronized boolean isEndpoint() {
    requireOpen();
    return NativeStream.isEndpoint(handle);
  }

  synchronized void reset() {
    requireOpen();
    NativeStream.reset(handle);
  }

  @Override
  public synchronized void close() {
    if (handle != 0) {
      NativeStream.close(handle);
      handle = 0;
    }
  }

  private void requireOpen() {
    if (handle == 0) {
      throw new IllegalStateException("it was closed");
    }
  }

  /** One at a time for all streams: the native core prepares what they share. */
  private static JSONObject openNatively(int descriptor, long offset, long size, int threads, boolean converts) {
    synchronized (SpeechStream.class) {
      try {
        return parse(NativeStream.open(descriptor, offset, size, threads, converts));
      } catch (LinkageError error) {
        throw new SpeechException("the native library cannot be loaded: " + error.getMessage(), error);
      }
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
