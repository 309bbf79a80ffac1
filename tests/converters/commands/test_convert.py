"""`tfconformer convert` writes the converted speech of a file, and one line of timing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from converters.commands.convert import convert
from converters.streaming.online_converter import OnlineConverter
from tests.conftest import Conversion
from tfconformer.cli import main

pytestmark = pytest.mark.usefixtures("native_library")


def test_a_file_of_another_rate_becomes_speech(
    conversion: Conversion, tmp_path: Path, waveforms: list[np.ndarray]
) -> None:
    soundfile.write(tmp_path / "in.wav", np.stack([waveforms[0]] * 2, axis=1), 8000)
    arguments = [str(tmp_path / "in.wav"), str(tmp_path / "out.wav"), str(conversion.path)]
    result = CliRunner().invoke(convert, arguments, catch_exceptions=False)
    assert "s of speech, real-time factor" in result.output
    assert "first sound" in result.output
    converter = OnlineConverter(conversion.path)
    converter.accept_waveform(8000, soundfile.read(tmp_path / "in.wav", dtype="float32")[0][:, 0])
    converter.input_finished()
    converter.convert()
    made, rate = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert rate == 16000
    # 16-bit PCM, clipped to [-1, 1).
    np.testing.assert_allclose(made, np.clip(converter.read_audio(), -1, 1), atol=1e-4)


@pytest.mark.parametrize(
    ("output", "message"),
    [("out.mp3", "should have a name that ends in .wav"), ("out.wav", "cannot read the audio file")],
)
def test_bad_arguments_are_one_sentence(
    conversion: Conversion, tmp_path: Path, output: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["convert", str(tmp_path / "missing.wav"), str(tmp_path / output), str(conversion.path)])
    assert message in capsys.readouterr().err
    assert not (tmp_path / output).exists()
