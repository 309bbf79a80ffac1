package android.widget;

import android.content.Context;

public class TableLayout extends LinearLayout {
  public TableLayout(Context context) {
    super(context);
  }

  public void setColumnShrinkable(int column, boolean shrinkable) {}
}
