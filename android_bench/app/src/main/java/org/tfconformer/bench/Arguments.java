package org.tfconformer.bench;

import java.util.LinkedHashMap;
import java.util.Map;

/** Arguments of the form {@code --name=value}, separated by white space. Values hold none. Immutable. */
final class Arguments {
  private final Map<String, String> values;

  private Arguments(Map<String, String> values) {
    this.values = values;
  }

  /** @throws IllegalArgumentException if a word has another form or a name stands twice */
  static Arguments parse(String text) {
    Map<String, String> values = new LinkedHashMap<>();
    for (String word : text.trim().split("\\s+")) {
      if (word.isEmpty()) {
        continue;
      }
      int equals = word.indexOf('=');
      if (!word.startsWith("--") || equals < 3) {
        throw new IllegalArgumentException("expected --name=value, got '" + word + "'");
      }
      String name = word.substring(2, equals);
      if (values.put(name, word.substring(equals + 1)) != null) {
        throw new IllegalArgumentException("--" + name + " is given twice");
      }
    }
    return new Arguments(values);
  }

  /** @throws IllegalArgumentException if it is missing or empty */
  String require(String name) {
    String value = values.get(name);
    if (value == null || value.isEmpty()) {
      throw new IllegalArgumentException("--" + name + "=... is missing");
    }
    return value;
  }

  Arguments with(String name, String value) {
    Map<String, String> changed = new LinkedHashMap<>(values);
    changed.put(name, value);
    return new Arguments(changed);
  }

  @Override
  public String toString() {
    StringBuilder text = new StringBuilder();
    for (Map.Entry<String, String> entry : values.entrySet()) {
      text.append(text.length() == 0 ? "" : " ");
      text.append("--").append(entry.getKey()).append('=').append(entry.getValue());
    }
    return text.toString();
  }
}
