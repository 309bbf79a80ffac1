package org.tfconformer.bench;

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
}
