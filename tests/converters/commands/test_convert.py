"""`tfconformer convert` writes the converted speech of a file, and one line of timing."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from converters.commands.convert import convert
from converters.streaming.online_converter import OnlineConverter
from tests.conftest import Conversion
from tests.support.bad_files import FILES, made
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


def test_bad_audio_is_one_sentence(
    conversion: Conversion, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # of which the empty name is the folder
    for name, audio in made(FILES, tmp_path):
        with pytest.raises(SystemExit) as end:
            main(["convert", audio, str(tmp_path / "out.wav"), str(conversion.path)])
        lines = capfd.readouterr().err.splitlines()
        assert end.value.code == 2 and lines[-1].startswith("tfconformer: "), (name, lines)
        assert not (tmp_path / "out.wav").exists()


def test_a_microphone_is_converted_for_a_loudspeaker(
    conversion: Conversion, waveforms: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[np.ndarray] = []

    class Stream:
        def __init__(self, samplerate: int, channels: int, dtype: str) -> None:
            assert (samplerate, channels, dtype) == (16000, 1, "float32")
            self.blocks = iter(np.resize(waveforms[2], [20, 1600, 1]))

        def __enter__(self) -> Stream:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def read(self, size: int) -> tuple[np.ndarray, bool]:
            block = next(self.blocks, None)
            if block is None:
                raise KeyboardInterrupt
            return block, False

        def write(self, samples: np.ndarray) -> None:
            played.append(samples)

    module = types.SimpleNamespace(InputStream=Stream, OutputStream=Stream, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    arguments = ["--mic", "--speaker", "--lag", "0.2", str(conversion.path)]
    result = CliRunner().invoke(convert, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert result.output.startswith("2.0 s to ")
    converter = OnlineConverter(conversion.path, lag=0.2)
    converter.accept_waveform(16000, np.resize(waveforms[2], 32000))
    converter.input_finished()
    converter.convert()
    assert sum(map(len, played)) == len(converter.read_audio()) > 0


def test_files_are_counted(conversion: Conversion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(convert, ["--mic", str(conversion.path)])
    assert result.exit_code == 2
    assert "give OUT.wav FILE.tflite, got 1 files" in result.output
    soundfile.write(tmp_path / "in.wav", np.zeros(100), 16000)
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    result = CliRunner().invoke(convert, [str(tmp_path / "in.wav"), "--speaker", str(conversion.path)])
    assert "the loudspeaker needs the package sounddevice" in str(result.exception)
