"""The APK built and checked without an Android SDK: from Debian, PyPI and npm packages."""
