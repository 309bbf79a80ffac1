package android.app;

import android.content.Intent;
import android.os.Bundle;
import android.view.View;

/** Calls what Android calls. */
public final class Lifecycle {
  private Lifecycle() {}

  public static void show(Activity activity, Intent intent, Bundle saved) {
    activity.setIntent(intent);
    activity.onCreate(saved);
    activity.onStart();
  }

  public static void hide(Activity activity) {
    activity.onStop();
  }

  public static void send(Activity activity, Intent intent) {
    activity.onNewIntent(intent);
  }

  public static View content(Activity activity) {
    return activity.getCurrentFocus();
  }
}
