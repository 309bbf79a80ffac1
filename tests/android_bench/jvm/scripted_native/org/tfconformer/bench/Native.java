package org.tfconformer.bench;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.concurrent.CountDownLatch;

/** In the place of the native core: says what it was asked, and answers with a file. */
final class Native {
  static final CountDownLatch MAY_END = new CountDownLatch(1);

  private Native() {}

  static String run(String arguments, Progress progress) {
    System.out.println("native: " + arguments);
    try {
      progress.progress(1, 4, "timed runs");
      if (Boolean.getBoolean("native.waits")) {
        MAY_END.await();
      }
      progress.progress(2, 4, "timed runs");
      return new String(Files.readAllBytes(new File(System.getProperty("native.report")).toPath()), "UTF-8");
    } catch (IOException | InterruptedException error) {
      throw new IllegalStateException(error);
    }
  }
}
