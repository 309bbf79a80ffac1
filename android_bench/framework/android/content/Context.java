package android.content;

import android.content.res.AssetManager;
import android.content.res.Resources;
import device.Device;
import java.io.File;

public class Context {
  public Context getApplicationContext() {
    return new Context();
  }

  public AssetManager getAssets() {
    return new AssetManager();
  }

  public Resources getResources() {
    return new Resources();
  }

  public File getFilesDir() {
    return Device.folder("files");
  }

  public File getExternalFilesDir(String type) {
    return Device.folder("external");
  }

  public int checkSelfPermission(String permission) {
    return Device.permission;
  }

  public void startActivity(Intent intent) {
    Device.started = intent;
  }
}
