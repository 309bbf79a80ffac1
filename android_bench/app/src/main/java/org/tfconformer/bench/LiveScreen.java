package org.tfconformer.bench;

import android.content.Context;
import android.view.View;
import android.widget.Button;
import android.widget.TextView;

/** A model to speak to, and the words that it recognizes. Used on the main thread only. */
final class LiveScreen {
  private final Column column;
  private final ModelChoice model;
  private final Button recognize;
  private final Button convert;
  private final Button stop;
  private final TextView status;
  private final TextView growing;
  private final TextView lines;

  /** The buttons' actions; the first two are called with the chosen model. */
  LiveScreen(Context context, OnModel onRecognize, OnModel onConvert, Runnable onStop) {
    column = new Column(context);
    model = new ModelChoice(column);
    recognize = column.addButton("Recognize", () -> onRecognize.call(model.chosen()));
    convert = column.addButton("Convert", () -> onConvert.call(model.chosen()));
    stop = column.addButton("Stop", onStop);
    status = column.addText("");
    growing = column.addText("");
    lines = column.addText("");
    showRunning(false);
  }

  /** Called with the name or path of a model. */
  interface OnModel {
    void call(String model);
  }

  View root() {
    return column.root();
  }

  /** Puts the models that there are now into the list. */
  void offer(Models available) {
    String problem = model.offer(available);
    showStatus(problem == null ? "" : problem);
    showRunning(false);
  }

  void showRunning(boolean running) {
    column.keepScreenOn(running);
    recognize.setEnabled(!running && !model.isEmpty());
    convert.setEnabled(!running && !model.isEmpty());
    Column.show(stop, running);
  }

  void showStatus(String text) {
    status.setText(text);
  }

  /** Shows the words of the current utterance; those of one that is over become the topmost line. */
  void showText(String text, boolean isFinal) {
    growing.setText(isFinal ? "" : text);
    if (isFinal && !text.isEmpty()) {
      lines.setText(text + "\n" + lines.getText());
    }
  }
}
