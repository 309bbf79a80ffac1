package android.view;

import android.content.Context;
import device.Device;
import java.util.ArrayList;
import java.util.List;

public abstract class ViewGroup extends View {
  private final List<View> children = new ArrayList<>();

  public ViewGroup(Context context) {
    super(context);
  }

  public void addView(View child) {
    Device.requireMainThread();
    children.add(child);
  }

  public void removeAllViews() {
    Device.requireMainThread();
    children.clear();
  }

  public int getChildCount() {
    return children.size();
  }

  public View getChildAt(int index) {
    return children.get(index);
  }
}
