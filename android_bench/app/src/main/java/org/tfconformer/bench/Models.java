package org.tfconformer.bench;

import android.content.Context;
import android.content.res.AssetManager;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The models that are in the APK, and those that were pushed to the app's folder or lie anywhere else. */
final class Models {
  private static final String SUFFIX = ".tflite";
  private static final String FOLDER = "models";

  private final AssetManager assets;
  private final File unpacked;
  private final File pushed;

  Models(Context context) {
    assets = context.getAssets();
    unpacked = new File(context.getFilesDir(), FOLDER);
    pushed = new File(context.getExternalFilesDir(null), FOLDER);
  }

  /** Where a person pushes models to. */
  File folder() {
    return pushed;
  }

  /** Names of the bundled models, then paths of the pushed ones. */
  List<String> list() throws IOException {
    List<String> models = new ArrayList<>();
    for (String name : sorted(assets.list(FOLDER))) {
      if (name.endsWith(SUFFIX)) {
        models.add(name);
      }
    }
    for (String name : sorted(pushed.list())) {
      if (name.endsWith(SUFFIX)) {
        models.add(new File(pushed, name).getPath());
      }
    }
    return models;
  }

  /**
   * The file of a model. A bundled one is unpacked first, with the reference outputs beside it.
   *
   * @param model a path, or the name of a bundled model
   * @throws IOException if there is no such model, or no space to unpack it
   */
  File file(String model) throws IOException {
    if (model.indexOf('/') >= 0) {
      return new File(model);
    }
    String[] names = assets.list(FOLDER);
    if (!Arrays.asList(names).contains(model)) {
      throw new IOException("there is no model " + model + " in the app; it has " + String.join(", ", list()));
    }
    String stem = model.substring(0, model.length() - SUFFIX.length());
    for (String name : names) {
      if (name.startsWith(stem + ".")) {
        unpack(name);
      }
    }
    return new File(unpacked, model);
  }

  private void unpack(String name) throws IOException {
    try (InputStream input = assets.open(FOLDER + "/" + name)) {
      Files.write(new File(unpacked, name), output -> Files.copy(input, output));
    }
  }

  private static String[] sorted(String[] names) {
    String[] copy = names == null ? new String[0] : names.clone();
    Arrays.sort(copy);
    return copy;
  }
}
