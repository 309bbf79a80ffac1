package device;

import android.content.Intent;
import java.io.File;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** What the stand-in of the framework needs of a phone: folders, a log, a main thread. */
public final class Device {
  private static final Thread MAIN = Thread.currentThread();
  private static final BlockingQueue<Runnable> POSTED = new LinkedBlockingQueue<>();
  private static final File ROOT = new File(System.getProperty("device.root"));

  /** What was last given to startActivity. */
  public static Intent started;

  private Device() {}

  public static File folder(String name) {
    return new File(ROOT, name);
  }

  public static int log(String line) {
    System.out.println(line);
    return 0;
  }

  public static boolean onMainThread() {
    return Thread.currentThread() == MAIN;
  }

  /** Android, too, refuses a view that another thread touches. */
  public static void requireMainThread() {
    if (!onMainThread()) {
      throw new IllegalStateException("a view was used on thread " + Thread.currentThread().getName());
    }
  }

  public static void post(Runnable action) {
    POSTED.add(action);
  }

  /** Runs what other threads post until the condition holds. */
  public static void runUntil(BooleanSupplier condition) throws InterruptedException {
    while (!condition.getAsBoolean()) {
      Runnable action = POSTED.poll(60, TimeUnit.SECONDS);
      if (action == null) {
        throw new IllegalStateException("nothing happens any more");
      }
      action.run();
    }
  }
}
