package android.widget;

import android.content.Context;

public class TableRow extends LinearLayout {
  public TableRow(Context context) {
    super(context);
  }
}
