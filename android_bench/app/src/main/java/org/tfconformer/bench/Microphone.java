package org.tfconformer.bench;

import android.media.AudioFormat;
import android.media.AudioRecord;
import android.media.MediaRecorder;
import java.io.IOException;

/** Speech from the microphone, 16 bits a sample, from its construction on. */
final class Microphone implements AutoCloseable {
  private static final int SAMPLE_BYTES = 2;
  private static final int FORMAT = AudioFormat.ENCODING_PCM_16BIT;

  private final AudioRecord record;

  /**
   * Begins to record.
   *
   * @param buffered samples that are kept until they are read
   * @throws IOException if there is no microphone of that rate, or another app holds it
   */
  Microphone(int sampleRate, int buffered) throws IOException {
    int least = AudioRecord.getMinBufferSize(sampleRate, AudioFormat.CHANNEL_IN_MONO, FORMAT);
    int bytes = Math.max(least, buffered * SAMPLE_BYTES);
    int source = MediaRecorder.AudioSource.VOICE_RECOGNITION;
    record = new AudioRecord(source, sampleRate, AudioFormat.CHANNEL_IN_MONO, FORMAT, bytes);
    if (record.getState() != AudioRecord.STATE_INITIALIZED) {
      record.release();
      throw new IOException("the microphone cannot record " + sampleRate + " samples a second");
    }
    record.startRecording();
  }

  /**
   * Fills the array with the next samples, for which it blocks.
   *
   * @return the number of samples
   * @throws IOException if the recording broke off
   */
  int read(short[] samples) throws IOException {
    int count = record.read(samples, 0, samples.length);
    if (count < 0) {
      throw new IOException("the microphone has stopped (error " + count + ")");
    }
    return count;
  }

  @Override
  public void close() {
    record.stop();
    record.release();
  }
}
