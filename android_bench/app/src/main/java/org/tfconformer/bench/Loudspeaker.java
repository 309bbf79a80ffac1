package org.tfconformer.bench;

import android.media.AudioFormat;
import android.media.AudioManager;
import android.media.AudioTrack;

/** Plays speech. */
final class Loudspeaker {
  private static final int SAMPLE_BYTES = 4;
  private static final int FORMAT = AudioFormat.ENCODING_PCM_FLOAT;

  private Loudspeaker() {}

  /** Plays samples in [-1, 1] and returns when they were played. */
  static void play(float[] samples, int sampleRate) {
    int bytes = AudioTrack.getMinBufferSize(sampleRate, AudioFormat.CHANNEL_OUT_MONO, FORMAT);
    AudioTrack track =
        new AudioTrack(
            AudioManager.STREAM_MUSIC, sampleRate, AudioFormat.CHANNEL_OUT_MONO, FORMAT, bytes, AudioTrack.MODE_STREAM);
    track.play();
    track.write(samples, 0, samples.length, AudioTrack.WRITE_BLOCKING);
    // Release drops what is in the buffer: silence takes the place of the last samples there.
    float[] silence = new float[bytes / SAMPLE_BYTES];
    track.write(silence, 0, silence.length, AudioTrack.WRITE_BLOCKING);
    track.stop();
    track.release();
  }
}
