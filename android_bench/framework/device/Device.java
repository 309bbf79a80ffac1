package device;

import android.content.Intent;
import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** What the stand-in of the framework needs of a phone: folders, a log, a main thread, a microphone, a loudspeaker. */
public final class Device {
  private static final Thread MAIN = Thread.currentThread();
  private static final BlockingQueue<Runnable> POSTED = new LinkedBlockingQueue<>();
  private static final File ROOT = new File(System.getProperty("device.root"));

  /** What was last given to startActivity. */
  public static Intent started;

  /** Of recording, as PackageManager counts, and what the user will answer. */
  public static volatile int permission = -1;
  public static volatile int answer = 0;

  private static volatile boolean silent;
  private static DataInputStream microphone;

  private Device() {}

  public static File folder(String name) {
    return new File(ROOT, name);
  }

  public static int log(String line) {
    System.out.println(line);
    return 0;
  }

  /** What the microphone records, from where it was stopped; null if there is none. */
  public static synchronized DataInputStream microphone() {
    try {
      if (microphone == null) {
        microphone = new DataInputStream(new BufferedInputStream(new FileInputStream(folder("microphone.raw"))));
      }
      return microphone;
    } catch (IOException error) {
      return null;
    }
  }

  /** Called whenever there is nothing more to record; a microphone would block. */
  public static void noteSilence() {
    silent = true;
    try {
      Thread.sleep(5);
    } catch (InterruptedException error) {
      throw new IllegalStateException(error);
    }
  }

  /** The microphone records the same once more. */
  public static synchronized void speakAgain() {
    microphone = null;
    silent = false;
  }

  public static boolean isSilent() {
    return silent;
  }

  public static void play(float[] samples, int begin, int count) {
    ByteBuffer bytes = ByteBuffer.allocate(4 * count).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(samples, begin, count);
    try (FileOutputStream output = new FileOutputStream(folder("loudspeaker.raw"), true)) {
      output.write(bytes.array());
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
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
