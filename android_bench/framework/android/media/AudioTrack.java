package android.media;

import device.Device;

/** Appends what it plays to the file loudspeaker.raw, float32, little-endian. */
public class AudioTrack {
  public static final int MODE_STREAM = 1;
  public static final int WRITE_BLOCKING = 0;

  private boolean playing;

  public AudioTrack(int stream, int sampleRate, int channels, int format, int bytes, int mode) {
    if (Device.onMainThread() || format != AudioFormat.ENCODING_PCM_FLOAT) {
      throw new IllegalArgumentException("played on the main thread, or in another format");
    }
  }

  public static int getMinBufferSize(int sampleRate, int channels, int format) {
    return 6400;
  }

  public void play() {
    playing = true;
  }

  public int write(float[] samples, int begin, int count, int mode) {
    if (playing) {
      Device.play(samples, begin, count);
    }
    return count;
  }

  public void stop() {
    playing = false;
  }

  public void release() {}
}
