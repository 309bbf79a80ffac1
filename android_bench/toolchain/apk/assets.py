"""The assets of the APK: models, their reference outputs, licences."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path

from android_bench.reference import reference_path
from tfconformer.errors import InputError

APACHE_LICENSE = Path("/usr/share/common-licenses/Apache-2.0")
_NOTICE = Path(__file__).with_name("NOTICE.txt")


def collect_assets(models: Sequence[Path], folder: Path) -> dict[str, Path]:
    """Puts the assets into a folder, which the Gradle project packs too; returns path below it -> file.

    Raises:
      InputError: a model cannot be read, has no reference output beside it, or two have one name.
    """
    files = {f"licenses/{name}": path for name, path in _licenses().items()}
    for model in models:
        for path in (model, reference_path(model)):
            name = f"models/{path.name}"
            if not path.is_file():
                raise InputError(f"{path}: there is no such file")
            if name in files:
                raise InputError(f"two models have the name {path.name}")
            files[name] = path
    shutil.rmtree(folder, ignore_errors=True)
    for name, path in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
    return {name: folder / name for name in files}


def _licenses() -> dict[str, Path]:
    tensorflow = importlib.util.find_spec("tensorflow")
    assert tensorflow is not None and tensorflow.origin is not None
    return {
        "NOTICE.txt": _NOTICE,
        "Apache-2.0.txt": APACHE_LICENSE,
        "TensorFlow-third-party.txt": Path(tensorflow.origin).with_name("THIRD_PARTY_NOTICES.txt"),
    }
