"""One small APK for all tests that need one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from android_bench.apk.assets import collect_assets
from android_bench.apk.build import build_apk
from android_bench.build_native import build_android
from android_bench.npm_packages import ANDROID_TFLITE, UnavailableError


@dataclasses.dataclass(frozen=True)
class BuiltApk:
    """An APK and what it was made from."""

    assets: dict[str, Path]
    libraries: dict[str, Path]
    path: Path


@pytest.fixture(scope="session")
def built_apk(tmp_path_factory: pytest.TempPathFactory) -> BuiltApk:
    """An APK whose model is none, but whose code is the real one."""
    folder = tmp_path_factory.mktemp("apk")
    for name in ("tiny.tflite", "tiny.reference"):
        (folder / name).write_bytes(name.encode() * 100)
    assets = collect_assets([folder / "tiny.tflite"], folder / "assets")
    try:
        files = (build_android(folder / "native")[0], ANDROID_TFLITE.fetch())
        built = BuiltApk(assets, {path.name: path for path in files}, folder / "bench.apk")
        build_apk(built.assets, built.libraries, built.path)
    except UnavailableError as error:
        pytest.skip(str(error))
    return built
