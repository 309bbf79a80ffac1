"""`make apk`: the signed APK, byte for byte the same every time.

It is signed with the key beside this file. That key is public: the signature lets Android install the app and lets
anybody rebuild the same file; it says nothing about who built it. Releases to a store need a key of their own.
"""

from __future__ import annotations

import base64
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from android_bench.toolchain.apk.dex import build_dex
from android_bench.toolchain.apk.settings import ABI, MAIN, AppSettings
from android_bench.toolchain.apk.tools import FRAMEWORK_RESOURCES, require_tools, run
from android_bench.toolchain.apk.zip_align import write_aligned
from tfconformer import atomic

KEY, CERTIFICATE = (Path(__file__).with_name(f"debug_{name}.pem") for name in ("key", "certificate"))
# Below API 24 Android needs the v1 signature; apksigner leaves it out for a higher minimum.
_SIGNED_FOR_SDK = 23
_STORED_ASSETS = (".tflite", ".reference")


def build_apk(assets: Mapping[str, Path], libraries: Mapping[str, Path], output: Path) -> None:
    """Builds and signs the APK.

    Args:
      assets: path below `assets/` -> file.
      libraries: name -> shared library for 64-bit ARM.
      output: path of the APK, written atomically.

    Raises:
      UnavailableError: a tool is missing or cannot be fetched.
    """
    require_tools("aapt2", "apksigner", FRAMEWORK_RESOURCES)
    settings = AppSettings.read()
    entries = _linked_resources(settings)
    entries["classes.dex"] = (build_dex(settings.min_sdk), True)
    for name, path in assets.items():
        entries[f"assets/{name}"] = (path.read_bytes(), path.suffix not in _STORED_ASSETS)
    for name, path in libraries.items():
        entries[f"lib/{ABI}/{name}"] = (path.read_bytes(), False)
    with tempfile.TemporaryDirectory() as folder, atomic.atomic_path(output) as signed:
        unsigned = Path(folder) / "unsigned.apk"
        write_aligned(entries, unsigned)
        _sign(unsigned, signed)


def _linked_resources(settings: AppSettings) -> dict[str, tuple[bytes, bool]]:
    """Compiles the binary manifest, the resource table and the resources."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest, compiled, linked = (folder / part for part in ("AndroidManifest.xml", "res.zip", "linked.apk"))
        text = (MAIN / "AndroidManifest.xml").read_text(encoding="utf-8")
        # Gradle takes the package from its own settings and wants none here; aapt2 alone needs one.
        text = text.replace("<manifest ", f'<manifest package="{settings.application_id}" ', 1)
        manifest.write_text(text, encoding="utf-8")
        run("aapt2", "compile", "--dir", MAIN / "res", "-o", compiled)
        run(
            *("aapt2", "link", "-I", FRAMEWORK_RESOURCES, "--manifest", manifest, "-o", linked),
            *("--min-sdk-version", str(settings.min_sdk), "--target-sdk-version", str(settings.target_sdk)),
            *("--version-code", str(settings.version_code), "--version-name", settings.version_name),
            compiled,
        )
        with zipfile.ZipFile(linked) as archive:
            return {
                entry.filename: (archive.read(entry), entry.compress_type != zipfile.ZIP_STORED)
                for entry in archive.infolist()
            }


def _sign(unsigned: Path, signed: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "key.pk8"
        lines = KEY.read_text(encoding="ascii").splitlines()
        key.write_bytes(base64.b64decode("".join(line for line in lines if not line.startswith("-----"))))
        schemes = [f"--v{number}-signing-enabled={'false' if number == 4 else 'true'}" for number in (1, 2, 3, 4)]
        signer = ("--key", key, "--cert", CERTIFICATE, "--min-sdk-version", str(_SIGNED_FOR_SDK))
        run("apksigner", "sign", *signer, *schemes, "--out", signed, unsigned)
