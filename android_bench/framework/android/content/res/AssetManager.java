package android.content.res;

import android.os.ParcelFileDescriptor;
import device.Device;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

public final class AssetManager {
  /** No multiple of more than four, and more than a page. */
  private static final int BEFORE = 4096 + 4;

  public String[] list(String path) throws IOException {
    String[] names = new File(Device.folder("assets"), path).list();
    return names == null ? new String[0] : names;
  }

  /** A part of a larger file, as an APK is one, in which stored files begin at multiples of four bytes. */
  public AssetFileDescriptor openFd(String path) throws IOException {
    if (!path.endsWith(".tflite")) {
      throw new FileNotFoundException("This file can not be opened as a file descriptor; it is probably compressed");
    }
    byte[] content = Files.readAllBytes(new File(Device.folder("assets"), path).toPath());
    Path apk = Files.createTempFile(Device.folder("").toPath(), "assets", ".apk");
    Files.write(apk, new byte[BEFORE]);
    Files.write(apk, content, StandardOpenOption.APPEND);
    Files.write(apk, new byte[BEFORE], StandardOpenOption.APPEND);
    ParcelFileDescriptor file = ParcelFileDescriptor.open(apk.toFile(), ParcelFileDescriptor.MODE_READ_ONLY);
    return new AssetFileDescriptor(file, BEFORE, content.length);
  }

  public InputStream open(String path) throws IOException {
    return new FileInputStream(new File(Device.folder("assets"), path));
  }
}
