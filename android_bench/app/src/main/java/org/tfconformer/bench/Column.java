package org.tfconformer.bench;

import android.content.Context;
import android.view.View;
import android.widget.ArrayAdapter;
import android.widget.Button;
import android.widget.LinearLayout;
import android.widget.ScrollView;
import android.widget.Spinner;
import android.widget.TextView;
import java.util.List;

/** Views below each other, which scroll. */
final class Column {
  private static final float PADDING_DP = 16;

  private final Context context;
  private final LinearLayout views;
  final int padding;

  Column(Context context) {
    this.context = context;
    padding = Math.round(PADDING_DP * context.getResources().getDisplayMetrics().density);
    views = new LinearLayout(context);
    views.setOrientation(LinearLayout.VERTICAL);
    views.setPadding(padding, padding, padding, padding);
  }

  View root() {
    ScrollView scroll = new ScrollView(context);
    scroll.setFitsSystemWindows(true);
    scroll.addView(views);
    return scroll;
  }

  void keepScreenOn(boolean on) {
    views.setKeepScreenOn(on);
  }

  <T extends View> T add(T view) {
    views.addView(view);
    return view;
  }

  TextView addText(String content) {
    return add(text(content));
  }

  Button addButton(String label, Runnable onClick) {
    Button button = new Button(context);
    button.setText(label);
    button.setOnClickListener(view -> onClick.run());
    return add(button);
  }

  /** @param id lets Android keep what was chosen when the phone is turned */
  Spinner addChoice(String label, int id, List<String> items) {
    addText(label);
    Spinner spinner = new Spinner(context);
    spinner.setId(id);
    offer(spinner, items);
    return add(spinner);
  }

  /** Puts these items into a choice. */
  void offer(Spinner spinner, List<String> items) {
    ArrayAdapter<String> adapter = new ArrayAdapter<>(context, android.R.layout.simple_spinner_item, items);
    adapter.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item);
    spinner.setAdapter(adapter);
  }

  TextView text(String content) {
    TextView view = new TextView(context);
    view.setText(content);
    view.setTextIsSelectable(true);
    return view;
  }

  static void show(View view, boolean visible) {
    view.setVisibility(visible ? View.VISIBLE : View.GONE);
  }
}
