package org.tfconformer.bench;

import android.Manifest;
import android.app.Activity;
import android.content.pm.PackageManager;
import android.os.Bundle;

/** The sample of the library: live recognition from the microphone, and conversion to another voice. */
public final class LiveActivity extends Activity {
  private LiveScreen screen;
  /** The one whose words are shown; null while nothing is recorded. */
  private Live live;

  @Override
  protected void onCreate(Bundle saved) {
    super.onCreate(saved);
    screen = new LiveScreen(this, model -> start(model, false), model -> start(model, true), this::stop);
    setContentView(screen.root());
  }

  @Override
  protected void onStart() {
    super.onStart();
    screen.offer(new Models(this));
  }

  @Override
  protected void onStop() {
    stop();
    super.onStop();
  }

  @Override
  public void onRequestPermissionsResult(int request, String[] permissions, int[] results) {
    boolean granted = results.length > 0 && results[0] == PackageManager.PERMISSION_GRANTED;
    screen.showStatus(granted ? "" : "Without the permission to record there is nothing to recognize.");
  }

  private void start(String model, boolean converts) {
    if (checkSelfPermission(Manifest.permission.RECORD_AUDIO) != PackageManager.PERMISSION_GRANTED) {
      requestPermissions(new String[] {Manifest.permission.RECORD_AUDIO}, 0);
      return;
    }
    live = new Live(new Models(this), model, new OnMainThread());
    screen.showStatus("");
    screen.showRunning(true);
    if (converts) {
      live.convert();
    } else {
      live.recognize();
    }
  }

  private void stop() {
    if (live != null) {
      live.stop();
    }
  }

  private final class OnMainThread implements Live.Listener {
    @Override
    public void onText(String text, boolean isFinal) {
      runOnUiThread(() -> screen.showText(text, isFinal));
    }

    @Override
    public void onEnd(String error) {
      runOnUiThread(
          () -> {
            live = null;
            screen.showRunning(false);
            screen.showStatus(error == null ? "" : error);
          });
    }
  }
}
