package android.content;

import java.util.HashMap;
import java.util.Map;

public class Intent {
  public static final String ACTION_SEND = "android.intent.action.SEND";
  public static final String EXTRA_SUBJECT = "android.intent.extra.SUBJECT";
  public static final String EXTRA_TEXT = "android.intent.extra.TEXT";

  private final Map<String, String> extras = new HashMap<>();

  public Intent() {}

  public Intent(String action) {}

  public Intent(Context context, Class<?> activity) {
    extras.put("activity", activity.getSimpleName());
  }

  public static Intent createChooser(Intent target, CharSequence title) {
    return target;
  }

  public Intent setType(String type) {
    return this;
  }

  public Intent putExtra(String name, String value) {
    extras.put(name, value);
    return this;
  }

  public String getStringExtra(String name) {
    return extras.get(name);
  }
}
