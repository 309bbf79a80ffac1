package android.media;

import device.Device;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;

/** Records the file microphone.raw, 16 bits a sample, as fast as it is read; then nothing. */
public class AudioRecord {
  public static final int STATE_UNINITIALIZED = 0;
  public static final int STATE_INITIALIZED = 1;

  private final DataInputStream input;
  private boolean recording;

  public AudioRecord(int source, int sampleRate, int channels, int format, int bytes) {
    if (Device.onMainThread() || format != AudioFormat.ENCODING_PCM_16BIT) {
      throw new IllegalArgumentException("recorded on the main thread, or in another format");
    }
    input = Device.microphone();
  }

  public static int getMinBufferSize(int sampleRate, int channels, int format) {
    return 1280;
  }

  public int getState() {
    return input == null ? STATE_UNINITIALIZED : STATE_INITIALIZED;
  }

  public void startRecording() {
    recording = true;
  }

  public int read(short[] samples, int begin, int count) {
    if (!recording) {
      return AudioManager.ERROR_DEAD_OBJECT;
    }
    for (int i = 0; i < count; i++) {
      try {
        samples[begin + i] = Short.reverseBytes(input.readShort());
      } catch (EOFException end) {
        Device.noteSilence();
        return i;
      } catch (IOException error) {
        return AudioManager.ERROR_DEAD_OBJECT;
      }
    }
    return count;
  }

  public void stop() {
    recording = false;
  }

  public void release() {}
}
