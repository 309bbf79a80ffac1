package org.tfconformer.bench;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;

/** Files that appear under their name only when they are complete. */
final class Files {
  /** Writes the content of a file. */
  interface Content {
    void writeTo(OutputStream output) throws IOException;
  }

  private Files() {}

  /** @throws IOException with the file's name and the reason, such as a full disk; what stood there before is kept */
  static void write(File file, Content content) throws IOException {
    File folder = file.getParentFile();
    File partial = new File(folder, file.getName() + ".partial");
    try {
      if (!folder.isDirectory() && !folder.mkdirs()) {
        throw new IOException("the folder " + folder + " cannot be made");
      }
      try (FileOutputStream output = new FileOutputStream(partial)) {
        content.writeTo(output);
        output.getFD().sync();
      }
      if (!partial.renameTo(file)) {
        throw new IOException("it cannot be renamed");
      }
    } catch (IOException error) {
      partial.delete();
      throw new IOException("cannot write " + file + ": " + error.getMessage(), error);
    }
  }

  static void copy(InputStream input, OutputStream output) throws IOException {
    byte[] buffer = new byte[1 << 16];
    for (int count = input.read(buffer); count >= 0; count = input.read(buffer)) {
      output.write(buffer, 0, count);
    }
  }
}
