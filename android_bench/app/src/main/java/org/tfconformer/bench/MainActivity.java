package org.tfconformer.bench;

import android.app.Activity;
import android.content.Intent;
import android.os.Bundle;

/**
 * The screen of the benchmark, and the entry for scripts:
 *
 * <pre>adb shell am start -n org.tfconformer.bench/.MainActivity --es args "'--model=int4.tflite --threads=2'"</pre>
 *
 * <p>With an extra {@code args} the benchmark starts at once. The extra {@code report} is the file name of its report.
 */
public final class MainActivity extends Activity {
  private static final String DEFAULT_REPORT = "report.json";

  private final Benchmark benchmark = Benchmark.ofThisProcess();
  private Screen screen;

  @Override
  protected void onCreate(Bundle saved) {
    super.onCreate(saved);
    screen =
        new Screen(
            this,
            arguments -> benchmark.start(this, arguments, DEFAULT_REPORT),
            benchmark::cancel,
            () -> startActivity(new Intent(this, LiveActivity.class)));
    setContentView(screen.root());
    // An activity that was turned is created again with the intent that has been obeyed already.
    if (saved == null) {
      obey(getIntent());
    }
  }

  @Override
  protected void onNewIntent(Intent intent) {
    super.onNewIntent(intent);
    obey(intent);
  }

  @Override
  protected void onStart() {
    super.onStart();
    screen.offer(new Models(this));
    benchmark.listen(state -> runOnUiThread(() -> screen.show(state)));
    screen.show(benchmark.state());
  }

  @Override
  protected void onStop() {
    benchmark.listen(null);
    super.onStop();
  }

  private void obey(Intent intent) {
    String arguments = intent.getStringExtra("args");
    if (arguments != null) {
      String report = intent.getStringExtra("report");
      benchmark.start(this, arguments, report == null ? DEFAULT_REPORT : report);
    }
  }
}
