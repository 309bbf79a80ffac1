package android;

/** Numbers of the framework's own resources. */
public final class R {
  private R() {}

  public static final class attr {
    public static final int progressBarStyleHorizontal = 0x01010078;
  }

  public static final class layout {
    public static final int simple_spinner_item = 0x01090008;
    public static final int simple_spinner_dropdown_item = 0x01090009;
  }
}
