package org.tfconformer.bench;

import android.content.Context;
import android.content.Intent;
import android.view.View;
import android.widget.Button;
import android.widget.ProgressBar;
import android.widget.Spinner;
import android.widget.TableLayout;
import android.widget.TableRow;
import android.widget.TextView;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Choices, progress and result of the benchmark. Used on the main thread only. */
final class Screen {
  /** Called with the chosen arguments. */
  interface Start {
    void start(String arguments);
  }

  private static final List<String> MODES = Arrays.asList("offline", "streaming");

  private final Context context;
  private final Column column;
  private final ModelChoice model;
  private final Spinner mode;
  private final Spinner threads;
  private final Button start;
  private final Button cancel;
  private final ProgressBar progress;
  private final TextView status;
  private final TableLayout table;
  private final Button share;
  private Report shown;

  Screen(Context context, Start onStart, Runnable onCancel, Runnable onLive) {
    this.context = context;
    column = new Column(context);
    column.addButton("Speak to a model", onLive);
    model = new ModelChoice(column);
    mode = column.addChoice("Mode", 2, MODES);
    threads = column.addChoice("Threads", 3, threadCounts());
    start = column.addButton("Start", () -> start(onStart));
    cancel = column.addButton("Cancel", onCancel);
    progress = column.add(new ProgressBar(context, null, android.R.attr.progressBarStyleHorizontal));
    status = column.addText("");
    table = column.add(new TableLayout(context));
    table.setColumnShrinkable(1, true);
    share = column.addButton("Share the report", this::share);
  }

  View root() {
    return column.root();
  }

  /** Puts the models that there are now into the list. */
  void offer(Models available) {
    String problem = model.offer(available);
    if (problem != null) {
      status.setText(problem);
    }
  }

  void show(State state) {
    column.keepScreenOn(state.running);
    start.setEnabled(!state.running && !model.isEmpty());
    Column.show(cancel, state.running);
    Column.show(progress, state.running);
    Column.show(share, state.report != null);
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
    String chosen = model.chosen();
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

  private TableRow row(String[] cells) {
    TableRow row = new TableRow(context);
    for (String cell : cells) {
      TextView view = column.text(cell);
      view.setPadding(0, 0, column.padding, 0);
      row.addView(view);
    }
    return row;
  }

  private static List<String> threadCounts() {
    List<String> counts = new ArrayList<>();
    for (int count = 1; count <= Runtime.getRuntime().availableProcessors(); count++) {
      counts.add(Integer.toString(count));
    }
    return counts;
  }
}
