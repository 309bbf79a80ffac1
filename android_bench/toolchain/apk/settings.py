"""Settings of the offline build and the Gradle project: the folders of the app's sources, and its identity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAIN = ROOT / "app/src/main"
SPEECH_LIBRARY = ROOT / "library/src/main"
FRAMEWORK = ROOT / "framework"
PROPERTIES = ROOT / "gradle.properties"
ABI = "arm64-v8a"


@dataclass(frozen=True)
class AppSettings:
    """Identity and SDK levels of the app.

    Attributes:
      application_id: Java package that identifies the app on a phone.
      library_namespace: Java package of the library for apps of one's own.
      version_name: for a person.
      version_code: grows with every release.
      min_sdk: lowest API level that the app runs on.
      target_sdk: API level whose behaviour it expects.
    """

    application_id: str
    library_namespace: str
    version_name: str
    version_code: int
    min_sdk: int
    target_sdk: int

    @classmethod
    def read(cls, path: Path = PROPERTIES) -> AppSettings:
        """Reads them from the Gradle project's properties, which both builds follow."""
        lines = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines() if "=" in line)
        values = {key.strip(): value.strip() for key, _, value in lines if not key.startswith("#")}
        return cls(
            application_id=values["applicationId"],
            library_namespace=values["libraryNamespace"],
            version_name=values["versionName"],
            version_code=int(values["versionCode"]),
            min_sdk=int(values["minSdk"]),
            target_sdk=int(values["targetSdk"]),
        )
