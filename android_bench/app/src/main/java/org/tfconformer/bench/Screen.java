package org.tfconformer.bench;

import android.content.Context;
import android.content.Intent;
import android.view.View;
import android.widget.ArrayAdapter;
import android.widget.Button;
import android.widget.LinearLayout;
import android.widget.ProgressBar;
import android.widget.ScrollView;
import android.widget.Spinner;
import android.widget.TableLayout;
import android.widget.TableRow;
import android.widget.TextView;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** Choices, progress and result. Used on the main thread only. */
final class Screen {
  /** Called with the chosen arguments. */
  interface Start {
    void start(String arguments);
  }

  private static final List<String> MODES = Arrays.asList("offline", "streaming");
  private static final float PADDING_DP = 16;

  private final Context context;
  private final int padding;
  private final LinearLayout column;
  private final Spinner model;
  private final Spinner mode;
  private final Spinner threads;
  private final Button start;
  private final Button cancel;
  private final ProgressBar progress;
  private final TextView status;
  private final TableLayout table;
  private final Button share;
  private List<String> models = Collections.emptyList();
  private Report shown;

  Screen(Context context, Start onStart, Runnable onCancel) {
    this.context = context;
    padding = Math.round(PADDING_DP * context.getResources().getDisplayMetrics().density);
    column = new LinearLayout(context);
    column.setOrientation(LinearLayout.VERTICAL);
    column.setPadding(padding, padding, padding, padding);
    // The views' identifiers let Android keep what was chosen when the phone is turned.
    model = choice("Model", 1);
    mode = choice("Mode", 2);
    mode.setAdapter(items(MODES));
    threads = choice("Threads", 3);
    threads.setAdapter(items(threadCounts()));
    start = button("Start", () -> start(onStart));
    cancel = button("Cancel", onCancel);
    progress = new ProgressBar(context, null, android.R.attr.progressBarStyleHorizontal);
    column.addView(progress);
    status = text("");
    column.addView(status);
    table = new TableLayout(context);
    table.setColumnShrinkable(1, true);
    column.addView(table);
    share = button("Share the report", this::share);
  }

  View root() {
    ScrollView scroll = new ScrollView(context);
    scroll.setFitsSystemWindows(true);
    scroll.addView(column);
    return scroll;
  }

  /** Puts the models that there are now into the list. */
  void offer(Models available) {
    List<String> names = new ArrayList<>();
    try {
      models = available.list();
    } catch (IOException error) {
      models = Collections.emptyList();
      status.setText("the models cannot be listed: " + error.getMessage());
    }
    for (String one : models) {
      names.add(one.indexOf('/') < 0 ? one : new File(one).getName() + " (pushed)");
    }
    if (names.isEmpty()) {
      status.setText("There is no model. Push a .tflite file to " + available.folder());
    }
    int chosen = model.getSelectedItemPosition();
    model.setAdapter(items(names));
    if (chosen >= 0 && chosen < names.size()) {
      model.setSelection(chosen);
    }
  }

  void show(State state) {
    column.setKeepScreenOn(state.running);
    start.setEnabled(!state.running && !models.isEmpty());
    visible(cancel, state.running);
    visible(progress, state.running);
    visible(share, state.report != null);
    if (state.running) {
      progress.setIndeterminate(state.total == 0);
      progress.setMax(state.total);
      progress.setProgress(state.done);
      status.setText(state.total == 0 ? state.stage : state.stage + " " + state.done + " of " + state.total);
    } else if (state.report != null) {
      status.setText(state.report.line());
    }
    if (state.report != shown) {
      shown = state.report;
      table.removeAllViews();
      if (shown != null) {
        for (String[] row : ReportTable.of(shown)) {
          table.addView(row(row));
        }
      }
    }
  }

  private void start(Start onStart) {
    String chosen = models.get(model.getSelectedItemPosition());
    String how = MODES.get(mode.getSelectedItemPosition());
    int count = threads.getSelectedItemPosition() + 1;
    onStart.start("--model=" + chosen + " --mode=" + how + " --threads=" + count);
  }

  private void share() {
    Intent send = new Intent(Intent.ACTION_SEND);
    send.setType("text/plain");
    send.putExtra(Intent.EXTRA_SUBJECT, "tfconformer bench");
    send.putExtra(Intent.EXTRA_TEXT, shown.json());
    context.startActivity(Intent.createChooser(send, "Share the report"));
  }

  private Spinner choice(String label, int id) {
    column.addView(text(label));
    Spinner spinner = new Spinner(context);
    spinner.setId(id);
    column.addView(spinner);
    return spinner;
  }

  private ArrayAdapter<String> items(List<String> texts) {
    ArrayAdapter<String> adapter = new ArrayAdapter<>(context, android.R.layout.simple_spinner_item, texts);
    adapter.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item);
    return adapter;
  }

  private Button button(String label, Runnable onClick) {
    Button button = new Button(context);
    button.setText(label);
    button.setOnClickListener(view -> onClick.run());
    column.addView(button);
    return button;
  }

  private TextView text(String content) {
    TextView view = new TextView(context);
    view.setText(content);
    view.setTextIsSelectable(true);
    return view;
  }

  private TableRow row(String[] cells) {
    TableRow row = new TableRow(context);
    for (String cell : cells) {
      TextView view = text(cell);
      view.setPadding(0, 0, padding, 0);
      row.addView(view);
    }
    return row;
  }

  private static void visible(View view, boolean visible) {
    view.setVisibility(visible ? View.VISIBLE : View.GONE);
  }

  private static List<String> threadCounts() {
    List<String> counts = new ArrayList<>();
    for (int count = 1; count <= Runtime.getRuntime().availableProcessors(); count++) {
      counts.add(Integer.toString(count));
    }
    return counts;
  }
}
