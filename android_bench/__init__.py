"""The benchmark of exported models on Android: an app, a command-line program, and an emulator for both."""
