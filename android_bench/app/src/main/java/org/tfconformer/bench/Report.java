package org.tfconformer.bench;

import java.util.ArrayList;
import java.util.List;
import org.json.JSONException;
import org.json.JSONObject;

/** What a benchmark found out, or why it failed. */
final class Report {
  private final JSONObject content;

  private Report(JSONObject content) {
    this.content = content;
  }

  /** @throws IllegalArgumentException if the text is not a JSON object */
  static Report parse(String json) {
    try {
      return new Report(new JSONObject(json));
    } catch (JSONException error) {
      throw new IllegalArgumentException("the native core returned no JSON object: " + error.getMessage());
    }
  }

  static Report ofError(String message) {
    try {
      return new Report(new JSONObject().put("error", String.valueOf(message)));
    } catch (JSONException error) {
      throw new IllegalStateException(error);
    }
  }

  String json() {
    return content.toString();
  }

  /** The result in one line. */
  String line() {
    return content.has("error") ? "error: " + content.optString("error") : "";
  }

  /** Label and value of every line of the table. */
  List<String[]> table() {
    return new ArrayList<>();
  }
}
