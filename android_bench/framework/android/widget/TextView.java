package android.widget;

import android.content.Context;
import android.view.View;
import device.Device;

public class TextView extends View {
  private CharSequence text = "";

  public TextView(Context context) {
    super(context);
  }

  public final void setText(CharSequence text) {
    Device.requireMainThread();
    this.text = text;
  }

  public CharSequence getText() {
    return text;
  }

  public void setTextIsSelectable(boolean selectable) {}
}
