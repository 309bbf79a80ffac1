package android.view;

import android.content.Context;
import device.Device;

public class View {
  public static final int VISIBLE = 0;
  public static final int GONE = 8;

  private OnClickListener listener;
  private boolean enabled = true;
  private int visibility = VISIBLE;

  public interface OnClickListener {
    void onClick(View view);
  }

  public View(Context context) {
    Device.requireMainThread();
  }

  public void setId(int id) {}

  public void setPadding(int left, int top, int right, int bottom) {}

  public void setFitsSystemWindows(boolean fits) {}

  public void setKeepScreenOn(boolean on) {
    Device.requireMainThread();
  }

  public void setOnClickListener(OnClickListener listener) {
    this.listener = listener;
  }

  public boolean performClick() {
    Device.requireMainThread();
    if (!enabled || visibility != VISIBLE || listener == null) {
      return false;
    }
    listener.onClick(this);
    return true;
  }

  public void setEnabled(boolean enabled) {
    Device.requireMainThread();
    this.enabled = enabled;
  }

  public boolean isEnabled() {
    return enabled;
  }

  public void setVisibility(int visibility) {
    Device.requireMainThread();
    this.visibility = visibility;
  }

  public int getVisibility() {
    return visibility;
  }
}
