package android.media;

public class AudioManager {
  public static final int STREAM_MUSIC = 3;
  public static final int ERROR_DEAD_OBJECT = -6;

  AudioManager() {}
}
