package org.tfconformer.bench;

import android.app.Activity;
import android.app.Lifecycle;
import android.content.Intent;
import android.os.Bundle;
import android.view.View;
import android.view.ViewGroup;
import android.widget.Button;
import android.widget.ProgressBar;
import android.widget.Spinner;
import android.widget.SpinnerAdapter;
import android.widget.TextView;
import device.Device;
import java.util.function.Predicate;

/** What a person or a script does with the app; prints what is on the screen afterwards. */
public final class Scenarios {
  private Scenarios() {}

  public static void main(String[] words) throws Exception {
    switch (words[0]) {
      case "script":
        script(words[1]);
        break;
      case "tap":
        tap();
        break;
      case "look":
        printScreen(shown(new Intent(), null));
        break;
      case "turn":
        turn();
        break;
      case "cancel":
        cancel();
        break;
      case "busy":
        busy();
        break;
      case "live":
        live();
        break;
      case "speak":
        Device.answer = Integer.parseInt(words[1]);
        printScreen(unable());
        break;
      default:
        throw new IllegalArgumentException(words[0]);
    }
  }

  private static void script(String arguments) throws InterruptedException {
    MainActivity activity = shown(intent(arguments, "mine.json"), null);
    untilEnded(activity);
    printScreen(activity);
  }

  private static void tap() throws InterruptedException {
    MainActivity activity = shown(new Intent(), null);
    spinner(activity, 0).setSelection(1);
    spinner(activity, 1).setSelection(1);
    press(activity, "Start");
    untilEnded(activity);
    printScreen(activity);
    press(activity, "Speak to a model");
    System.out.println("started: " + Device.started.getStringExtra("activity"));
    press(activity, "Share the report");
    System.out.println("shared: " + Device.started.getStringExtra(Intent.EXTRA_TEXT));
  }

  /** The phone is turned during a benchmark: Android throws the activity away and makes another one. */
  private static void turn() throws InterruptedException {
    Intent intent = intent("--model=int4.tflite", null);
    MainActivity before = shown(intent, null);
    untilProgress(before);
    Lifecycle.hide(before);
    MainActivity after = shown(intent, new Bundle());
    untilProgress(after);
    Native.MAY_END.countDown();
    untilEnded(after);
    printScreen(after);
  }

  private static void cancel() throws InterruptedException {
    MainActivity activity = shown(intent("--model=int4.tflite", null), null);
    untilProgress(activity);
    press(activity, "Cancel");
    Native.MAY_END.countDown();
    untilEnded(activity);
    printScreen(activity);
  }

  private static void busy() throws InterruptedException {
    MainActivity activity = shown(intent("--model=int4.tflite", "first.json"), null);
    untilProgress(activity);
    Lifecycle.send(activity, intent("--model=int2.tflite", "second.json"));
    Native.MAY_END.countDown();
    untilEnded(activity);
    printScreen(activity);
  }

  /** Speaks to the first model, and to the second one, which says the same again. */
  private static void live() throws InterruptedException {
    LiveActivity activity = new LiveActivity();
    Lifecycle.show(activity, new Intent(), null);
    press(activity, "Recognize"); // Android asks for the permission
    speak(activity, "Recognize");
    Device.speakAgain();
    spinner(activity, 0).setSelection(1);
    speak(activity, "Convert");
  }

  private static void speak(Activity activity, String label) throws InterruptedException {
    press(activity, label);
    String[] before = {""};
    int[] later = {0};
    Device.runUntil(
        () -> {
          String now = text(activity, 2);
          if (!now.equals(before[0])) {
            before[0] = now;
            System.out.println("growing: " + now);
          }
          // More than what had been posted by then: a tenth of a second at a time, of one second.
          return Device.isSilent() && ++later[0] > 15;
        });
    View stop = button(activity, "Stop");
    press(activity, "Stop");
    Device.runUntil(() -> stop.getVisibility() != View.VISIBLE);
    printScreen(activity);
  }

  /** Taps where there is no permission, or no microphone. */
  private static Activity unable() throws InterruptedException {
    LiveActivity activity = new LiveActivity();
    Lifecycle.show(activity, new Intent(), null);
    press(activity, "Convert");
    press(activity, "Convert");
    Device.runUntil(() -> !text(activity, 1).isEmpty());
    return activity;
  }

  /** The text of a view that is no button, counted from the top. */
  private static String text(Activity activity, int index) {
    int[] left = {index};
    View found = find(Lifecycle.content(activity), view -> view.getClass() == TextView.class && left[0]-- == 0);
    return ((TextView) found).getText().toString();
  }

  private static MainActivity shown(Intent intent, Bundle saved) {
    MainActivity activity = new MainActivity();
    Lifecycle.show(activity, intent, saved);
    return activity;
  }

  private static Intent intent(String arguments, String report) {
    Intent intent = new Intent().putExtra("args", arguments);
    return report == null ? intent : intent.putExtra("report", report);
  }

  private static void untilEnded(MainActivity activity) throws InterruptedException {
    View share = button(activity, "Share the report");
    Device.runUntil(() -> share.getVisibility() == View.VISIBLE);
  }

  private static void untilProgress(MainActivity activity) throws InterruptedException {
    ProgressBar bar = (ProgressBar) find(Lifecycle.content(activity), view -> view instanceof ProgressBar);
    Device.runUntil(() -> bar.getProgress() > 0);
  }

  private static void press(Activity activity, String label) {
    System.out.println("press " + label + ": " + button(activity, label).performClick());
  }

  private static View button(Activity activity, String label) {
    return find(
        Lifecycle.content(activity),
        view -> view instanceof Button && ((Button) view).getText().toString().equals(label));
  }

  private static Spinner spinner(Activity activity, int index) {
    int[] left = {index};
    return (Spinner) find(Lifecycle.content(activity), view -> view instanceof Spinner && left[0]-- == 0);
  }

  private static View find(View view, Predicate<View> wanted) {
    if (wanted.test(view)) {
      return view;
    }
    if (view instanceof ViewGroup) {
      ViewGroup group = (ViewGroup) view;
      for (int i = 0; i < group.getChildCount(); i++) {
        View found = find(group.getChildAt(i), wanted);
        if (found != null) {
          return found;
        }
      }
    }
    return null;
  }

  private static void printScreen(Activity activity) {
    find(Lifecycle.content(activity), view -> {
      if (view.getVisibility() == View.VISIBLE) {
        print(view);
      }
      return false;
    });
  }

  private static void print(View view) {
    if (view instanceof Button) {
      System.out.println("button: " + ((Button) view).getText() + (view.isEnabled() ? "" : " (disabled)"));
    } else if (view instanceof TextView) {
      System.out.println("text: " + ((TextView) view).getText());
    } else if (view instanceof Spinner) {
      SpinnerAdapter items = ((Spinner) view).getAdapter();
      for (int i = 0; i < items.getCount(); i++) {
        System.out.println("choice: " + items.getItem(i));
      }
    }
  }
}
