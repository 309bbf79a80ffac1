package android.app;

import android.content.Context;
import android.content.Intent;
import android.os.Bundle;
import android.view.View;
import device.Device;

public class Activity extends Context {
  private Intent intent = new Intent();
  private View content;

  protected void onCreate(Bundle saved) {}

  protected void onStart() {}

  protected void onStop() {}

  /** The user is asked, and answers what {@code Device.answer} says. */
  public final void requestPermissions(String[] permissions, int request) {
    Device.permission = Device.answer;
    Device.post(() -> onRequestPermissionsResult(request, permissions, new int[] {Device.answer}));
  }

  public void onRequestPermissionsResult(int request, String[] permissions, int[] results) {}

  protected void onNewIntent(Intent intent) {}

  public Intent getIntent() {
    return intent;
  }

  public void setIntent(Intent intent) {
    this.intent = intent;
  }

  public void setContentView(View view) {
    content = view;
  }

  public View getCurrentFocus() {
    return content;
  }

  public final void runOnUiThread(Runnable action) {
    if (Device.onMainThread()) {
      action.run();
    } else {
      Device.post(action);
    }
  }
}
