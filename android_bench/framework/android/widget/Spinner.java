package android.widget;

import android.content.Context;
import android.view.View;
import device.Device;

public class Spinner extends View {
  private SpinnerAdapter adapter;
  private int selected = -1;

  public Spinner(Context context) {
    super(context);
  }

  public void setAdapter(SpinnerAdapter adapter) {
    Device.requireMainThread();
    this.adapter = adapter;
    selected = adapter.getCount() == 0 ? -1 : 0;
  }

  public SpinnerAdapter getAdapter() {
    return adapter;
  }

  public void setSelection(int position) {
    Device.requireMainThread();
    selected = position;
  }

  public int getSelectedItemPosition() {
    return selected;
  }
}
