"""The demo of conversion runs commands that exist, and writes WAV files and a page."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import soundfile

from converters.commands.export import export
from converters.experiments.demo_speech import run_speech_demo
from converters.experiments.stages import Stages
from tests.conftest import Conversion
from tfconformer.cli import cli
from tfconformer.commands.quantize import quantize

pytestmark = pytest.mark.usefixtures("native_library")
COMMANDS = {"export": export, "quantize": quantize}


@pytest.mark.parametrize("train", [False, True])
def test_the_demo_converts_the_sample(
    conversion: Conversion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config, train: bool
) -> None:
    ran = []

    def run(self: Stages, name: str, *arguments: str | Path, accepted: Sequence[int] = (0,)) -> int:
        command, *words = map(str, arguments)
        ran.append(name)
        if command == "data":
            cli([command, *words], standalone_mode=False)
            return 0
        context = COMMANDS[command].make_context(command, list(words))
        for option in ("run_directory", "quantization", "vocoder_directory", "vocoder_quantization"):
            path = context.params.get(option)
            assert path is None or path.exists() or path.is_relative_to(tmp_path)
        if command == "export":
            shutil.copy(conversion.path, words[1])
        return 0

    monkeypatch.setattr(Stages, "run", run)
    monkeypatch.chdir(pytestconfig.rootpath)
    run_speech_demo(tmp_path / "demo", train)
    names = ["int8", *["int4"] * train]
    assert ran == ["prepare the sample", *["fine-tune int4"] * train, *(f"export {name}" for name in names)]
    for name in names:
        made = sorted((tmp_path / "demo" / "wav").glob(f"*.{name}.wav"))
        assert len(made) == 6
        assert soundfile.info(made[0]).samplerate == 16000
    page = (tmp_path / "demo" / "report.html").read_text()
    assert page.count("<audio") == 6 * (2 + len(names))
