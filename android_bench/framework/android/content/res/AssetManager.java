package android.content.res;

import device.Device;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;

public final class AssetManager {
  public String[] list(String path) throws IOException {
    String[] names = new File(Device.folder("assets"), path).list();
    return names == null ? new String[0] : names;
  }

  public InputStream open(String path) throws IOException {
    return new FileInputStream(new File(Device.folder("assets"), path));
  }
}
