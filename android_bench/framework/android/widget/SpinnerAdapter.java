package android.widget;

public interface SpinnerAdapter {
  int getCount();

  Object getItem(int position);
}
