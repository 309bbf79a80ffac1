package android.widget;

import android.content.Context;
import java.util.List;

public class ArrayAdapter<T> implements SpinnerAdapter {
  private final List<T> items;

  public ArrayAdapter(Context context, int layout, List<T> items) {
    this.items = items;
  }

  public void setDropDownViewResource(int layout) {}

  @Override
  public int getCount() {
    return items.size();
  }

  @Override
  public T getItem(int position) {
    return items.get(position);
  }
}
