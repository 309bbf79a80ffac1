package org.tfconformer;

import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.BufferedInputStream;
import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** Calls the arm64 library in another process, in which QEMU executes it. */
final class NativeStream {
  private static final OutputStream CALLS;
  private static final DataInputStream RESULTS;

  static {
    try {
      String[] command = System.getProperty("stream.command").split("\n");
      Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
      CALLS = new BufferedOutputStream(process.getOutputStream());
      RESULTS = new DataInputStream(new BufferedInputStream(process.getInputStream()));
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
  }

  private NativeStream() {}

  static String open(int descriptor, long offset, long size, int threads, boolean converts, int lagMillis) {
    try {
      // The other process opens the file itself.
      String path = new File("/proc/self/fd/" + descriptor).getCanonicalPath();
      String numbers = offset + " " + size + " " + threads + " " + (converts ? 1 : 0) + " " + lagMillis;
      return call("open " + numbers + " " + path, new float[0]);
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
  }

  static String accept(long stream, float[] samples, int count) {
    float[] taken = new float[count];
    System.arraycopy(samples, 0, taken, 0, count);
    return call("accept " + stream + " " + count, taken);
  }

  static String finish(long stream) {
    return call("finish " + stream, new float[0]);
  }

  static String words(long stream) {
    return call("words " + stream, new float[0]);
  }

  static synchronized float[] takeSpeech(long stream) {
    byte[] bytes = new byte[4 * Integer.parseInt(call("takeSpeech " + stream, new float[0]))];
    float[] samples = new float[bytes.length / 4];
    try {
      RESULTS.readFully(bytes);
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
    ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(samples);
    return samples;
  }

  static boolean isEndpoint(long stream) {
    return Boolean.parseBoolean(call("isEndpoint " + stream, new float[0]));
  }

  static void reset(long stream) {
    call("reset " + stream, new float[0]);
  }

  static void close(long stream) {
    call("close " + stream, new float[0]);
  }

  private static synchronized String call(String line, float[] samples) {
    ByteBuffer bytes = ByteBuffer.allocate(4 * samples.length).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(samples);
    try {
      CALLS.write((line + "\n").getBytes(StandardCharsets.UTF_8));
      CALLS.write(bytes.array());
      CALLS.flush();
      ByteArrayOutputStream result = new ByteArrayOutputStream();
      for (int one = RESULTS.readByte(); one != '\n'; one = RESULTS.readByte()) {
        result.write(one);
      }
      String text = result.toString("UTF-8");
      return text.equals("null") ? null : text;
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
  }
}
