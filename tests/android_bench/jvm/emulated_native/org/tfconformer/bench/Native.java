package org.tfconformer.bench;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Calls the app's arm64 library in another process, in which QEMU executes it. */
final class Native {
  private Native() {}

  static String run(String arguments, Progress progress) {
    progress.progress(0, 1, "emulated");
    List<String> command = new ArrayList<>(Arrays.asList(System.getProperty("native.command").split("\n")));
    command.add(arguments);
    try {
      Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
      ByteArrayOutputStream output = new ByteArrayOutputStream();
      try (InputStream input = process.getInputStream()) {
        Files.copy(input, output);
      }
      return output.toString("UTF-8");
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
  }
}
