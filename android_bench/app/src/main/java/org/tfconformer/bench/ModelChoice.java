package org.tfconformer.bench;

import android.widget.Spinner;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** The choice among the models that there are. */
final class ModelChoice {
  private static final int ID = 1;

  private final Column column;
  private final Spinner spinner;
  private List<String> models = Collections.emptyList();

  ModelChoice(Column column) {
    this.column = column;
    spinner = column.addChoice("Model", ID, models);
  }

  /**
   * Puts the models that there are now into the list.
   *
   * @return a sentence for the user if there are none, else null
   */
  String offer(Models available) {
    String problem = null;
    List<String> names = new ArrayList<>();
    try {
      models = available.list();
    } catch (IOException error) {
      models = Collections.emptyList();
      problem = "the models cannot be listed: " + error.getMessage();
    }
    for (String one : models) {
      names.add(Models.isPath(one) ? new File(one).getName() + " (pushed)" : one);
    }
    if (problem == null && names.isEmpty()) {
      problem = "There is no model. Push a .tflite file to " + available.folder();
    }
    int chosen = spinner.getSelectedItemPosition();
    column.offer(spinner, names);
    if (chosen >= 0 && chosen < names.size()) {
      spinner.setSelection(chosen);
    }
    return problem;
  }

  boolean isEmpty() {
    return models.isEmpty();
  }

  /** Returns the name of a bundled model, or the path of another one. */
  String chosen() {
    return models.get(spinner.getSelectedItemPosition());
  }
}
