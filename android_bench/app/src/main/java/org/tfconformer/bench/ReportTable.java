package org.tfconformer.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.json.JSONArray;
import org.json.JSONObject;

/** The lines that the screen shows of a report: a label and a value each. What the report lacks is left out. */
final class ReportTable {
  private static final int MOST_OPERATIONS = 8;
  private static final String[] THERMAL_STATUS = {
    "none", "light", "moderate", "severe", "critical", "emergency", "shutdown"
  };

  private final List<String[]> rows = new ArrayList<>();

  private ReportTable() {}

  static List<String[]> of(Report report) {
    ReportTable table = new ReportTable();
    table.addModel(report);
    table.addTimes(report.get("timing"));
    table.addConversion(report.array("conversion"));
    table.addCheck(report.get("output_check"));
    table.addRecognition(report.get("recognition"));
    table.addMemory(report.get("memory"));
    table.addDevice(report.get("device"), report.get("thermal"));
    table.addOperations(report.get("profile").optJSONArray("operations"));
    return table.rows;
  }

  private void addModel(Report report) {
    JSONObject model = report.get("model");
    JSONObject engine = report.get("engine");
    if (model.has("sha256")) {
      add("Model", "%s, %.2f MB", model.optString("name"), model.optLong("file_bytes") / 1e6);
      add("SHA-256", "%s", model.optString("sha256"));
    }
    if (engine.has("version")) {
      add("Engine", "%s %s, kernel %s", engine.optString("name"), engine.optString("version"),
          engine.optString("kernel"));
    }
  }

  private void addTimes(JSONObject timing) {
    if (!timing.has("utterance")) {
      return;
    }
    add("Loading", "%s", milliseconds(timing, "init_us"));
    add("First run", "%s", milliseconds(timing, "first_us"));
    addPercentiles("Utterance", timing.optJSONObject("utterance"));
    addPercentiles("Step", timing.optJSONObject("step"));
    addComponents(timing.optJSONArray("components"));
    addPercentiles("First sound", timing.optJSONObject("first_sound"));
    if (timing.has("rtf_p50")) {
      add("Real-time factor", "%.4f / %.4f (p50 / p90)", timing.optDouble("rtf_p50"), timing.optDouble("rtf_p90"));
    }
  }

  private void addComponents(JSONArray components) {
    for (int i = 0; components != null && i < components.length(); i++) {
      JSONObject one = components.optJSONObject(i);
      addPercentiles("Step of the " + one.optString("name"), one.optJSONObject("step"));
    }
  }

  private void addConversion(JSONArray utterances) {
    for (int i = 0; i < utterances.length(); i++) {
      JSONObject one = utterances.optJSONObject(i);
      add("Speech", "%.2f s of %.2f s%s: %s", one.optDouble("speech_seconds"), one.optDouble("audio_seconds"),
          one.optBoolean("stopped") ? "" : ", cut off", one.optString("file", one.optString("name")));
    }
  }

  private void addPercentiles(String label, JSONObject times) {
    if (times != null) {
      add(label, "%s / %s / %s (p50 / p90 / p99 of %d)", milliseconds(times, "p50_us"), milliseconds(times, "p90_us"),
          milliseconds(times, "p99_us"), times.optInt("count"));
    }
  }

  private void addCheck(JSONObject check) {
    if (check.has("relative_rms")) {
      add("Output", "%s (relative RMS %.2g, accepted %.2g)", check.optString("status").replace('_', ' '),
          check.optDouble("relative_rms"), check.optDouble("tolerance_relative_rms"));
    } else if (check.has("status")) {
      add("Output", "%s", check.optString("status").replace('_', ' '));
    }
  }

  private void addRecognition(JSONObject recognition) {
    if (recognition.has("wer")) {
      add("Word error rate", "%.1f %% of %d words", 100 * recognition.optDouble("wer"), recognition.optInt("words"));
    }
  }

  private void addMemory(JSONObject memory) {
    if (memory.has("peak_kb")) {
      add("Memory", "%.1f MB loaded, %.1f MB at most", memory.optLong("init_kb") * 1024 / 1e6,
          memory.optLong("peak_kb") * 1024 / 1e6);
    }
  }

  private void addDevice(JSONObject device, JSONObject thermal) {
    if (device.has("model")) {
      add("Phone", "%s, %s", device.optString("model"), device.optString("system"));
    }
    JSONObject before = thermal.optJSONObject("before");
    JSONObject after = thermal.optJSONObject("after");
    if (before != null && after != null && before.has("status")) {
      add("Throttling", "%s, afterwards %s", status(before), status(after));
    }
  }

  private void addOperations(JSONArray operations) {
    for (int i = 0; operations != null && i < Math.min(operations.length(), MOST_OPERATIONS); i++) {
      JSONObject one = operations.optJSONObject(i);
      add(one.optString("kind"), "%s, %.0f %%", milliseconds(one, "run_us"), 100 * one.optDouble("share"));
    }
  }

  private void add(String label, String format, Object... values) {
    rows.add(new String[] {label, String.format(Locale.ROOT, format, values)});
  }

  private static String milliseconds(JSONObject times, String name) {
    return String.format(Locale.ROOT, "%.2f ms", times.optDouble(name) / 1e3);
  }

  private static String status(JSONObject state) {
    int number = state.optInt("status");
    return number < THERMAL_STATUS.length ? THERMAL_STATUS[number] : Integer.toString(number);
  }
}
