package android.widget;

import android.content.Context;
import android.util.AttributeSet;
import android.view.View;
import device.Device;

public class ProgressBar extends View {
  private int progress;

  public ProgressBar(Context context, AttributeSet attributes, int style) {
    super(context);
  }

  public void setIndeterminate(boolean indeterminate) {}

  public void setMax(int max) {}

  public void setProgress(int progress) {
    Device.requireMainThread();
    this.progress = progress;
  }

  public int getProgress() {
    return progress;
  }
}
