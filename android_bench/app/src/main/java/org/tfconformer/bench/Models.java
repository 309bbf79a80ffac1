package org.tfconformer.bench;

import android.content.Context;
import android.content.res.AssetManager;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.tfconformer.Converter;
import org.tfconformer.Recognizer;

/** The models that are in the APK, and those that were pushed to the app's folder or lie anywhere else. */
final class Models {
  private static final String SUFFIX = ".tflite";
  private static final String FOLDER = "models";
  private static final Pattern NAMED = Pattern.compile("(?:^|\\s)--model=([^\\s/\"]+)(?=\\s|$)");

  private final Context context;
  private final AssetManager assets;
  private final File unpacked;
  private final File pushed;

  Models(Context context) {
    this.context = context;
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
   * Puts the path of a bundled model, which is unpacked, in the place of its name. Other arguments are left as they are.
   *
   * @param arguments of the native core
   * @throws IOException if the app has no model of that name, or there is no space to unpack it
   */
  String unpackNamedIn(String arguments) throws IOException {
    Matcher named = NAMED.matcher(arguments);
    if (!named.find()) {
      return arguments;
    }
    return arguments.substring(0, named.start(1)) + unpack(named.group(1)) + arguments.substring(named.end(1));
  }

  /** Opens a bundled model by its name, another one by its path, for speech that arrives. */
  Recognizer openRecognizer(String model) {
    return isPath(model) ? new Recognizer(new File(model)) : new Recognizer(context, FOLDER + "/" + model);
  }

  /** Opens a model of conversion; see {@link #openRecognizer}. */
  Converter openConverter(String model) {
    return isPath(model) ? new Converter(new File(model)) : new Converter(context, FOLDER + "/" + model);
  }

  static boolean isPath(String model) {
    return model.indexOf('/') >= 0;
  }

  /** Unpacks a model, and the reference outputs that stand beside it. */
  private File unpack(String model) throws IOException {
    String[] names = assets.list(FOLDER);
    if (!model.endsWith(SUFFIX) || !Arrays.asList(names).contains(model)) {
      throw new IOException("there is no model '" + model + "' in the app, which has " + String.join(", ", list()));
    }
    String stem = model.substring(0, model.length() - SUFFIX.length());
    for (String name : names) {
      if (name.startsWith(stem + ".")) {
        copy(name);
      }
    }
    return new File(unpacked, model);
  }

  private void copy(String name) throws IOException {
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
