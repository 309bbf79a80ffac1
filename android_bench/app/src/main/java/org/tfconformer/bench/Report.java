package org.tfconformer.bench;

import java.util.Locale;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** What a benchmark found out, or why it failed. Its JSON follows {@code android_bench/report.schema.json}. */
final class Report {
  private final JSONObject content;

  private Report(JSONObject content) {
    this.content = content;
  }

  /** @throws IllegalArgumentException if the text, which may be null, is not a JSON object */
  static Report parse(String json) {
    try {
      return new Report(new JSONObject(String.valueOf(json)));
    } catch (JSONException error) {
      throw new IllegalArgumentException("the native core returned no JSON object: " + error.getMessage());
    }
  }

  /** The report of a benchmark that did not reach the native core, or did not come back from it. */
  static Report ofError(String message) {
    try {
      JSONObject content = new JSONObject().put("schema", 1).put("status", "failed").put("exit_code", 1);
      return new Report(content.put("error", String.valueOf(message)));
    } catch (JSONException error) {
      throw new IllegalStateException(error);
    }
  }

  String json() {
    return content.toString();
  }

  /** The member, empty if it is missing. */
  JSONObject get(String name) {
    JSONObject member = content.optJSONObject(name);
    return member == null ? new JSONObject() : member;
  }

  /** The member that is a list, empty if it is missing. */
  JSONArray array(String name) {
    JSONArray member = content.optJSONArray(name);
    return member == null ? new JSONArray() : member;
  }

  /** The gist in one line. */
  String line() {
    if (content.has("error")) {
      return "error: " + content.optString("error");
    }
    JSONObject times = get("timing").optJSONObject("utterance");
    if (times == null) {
      return "error: the report has no times";
    }
    return String.format(
        Locale.ROOT,
        "%s, %s, %d threads: %.2f ms (p90 %.2f ms), output %s",
        get("model").optString("name"),
        get("settings").optString("mode"),
        get("settings").optInt("threads"),
        times.optDouble("p50_us") / 1e3,
        times.optDouble("p90_us") / 1e3,
        get("output_check").optString("status"));
  }
}
