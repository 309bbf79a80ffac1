package android.util;

import device.Device;

public final class Log {
  private Log() {}

  public static int i(String tag, String message) {
    return Device.log("I/" + tag + ": " + message);
  }

  public static int e(String tag, String message) {
    return Device.log("E/" + tag + ": " + message);
  }
}
