"""`tfconformer stream` as a user runs it."""

from __future__ import annotations

import io
import re
import sys
import types

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from rich.console import Console

from converters.commands.stream import stream as stream_command
from converters.runtime.stream_model import open_stream
from converters.streaming.audio import LiveAudio, wav_audio
from converters.streaming.display import show
from converters.streaming.online_recognizer import OnlineRecognizer
from tests.support.tiny_conformer import tiny_tokenizer
from tfconformer.decoding.ctc import greedy_decode
from tfconformer.errors import InputError

pytestmark = pytest.mark.usefixtures("native_library")


@pytest.fixture
def wav(tmp_path, waveforms):
    """Two seconds in stereo, whose mean is the waveform."""
    path = tmp_path / "two.wav"
    difference = np.linspace(-0.1, 0.1, len(waveforms[2]), dtype=np.float32)
    channels = np.stack([waveforms[2] + difference, waveforms[2] - difference], axis=1)
    soundfile.write(path, channels, 16000, subtype="FLOAT")
    return path


def invoke(*arguments):
    return CliRunner().invoke(stream_command, [str(argument) for argument in arguments])


def test_a_file_becomes_text_and_timing(stream, wav, waveforms):
    result = invoke(stream.path, "--wav", wav, "--fast")
    assert result.exit_code == 0, result.exception
    text, timing = result.output.splitlines()
    expected = tiny_tokenizer().decode(greedy_decode(open_stream(stream.path).run(waveforms[2])))
    assert text == expected != ""
    assert re.fullmatch(
        r"2\.0 s of audio, real-time factor 0\.\d+, latency at most 120 ms of audio and [\d.]+ ms \(p90 [\d.]+\) of "
        r"computing",
        timing,
    )


def test_a_terminal_shows_the_utterance_grow(stream, waveforms):
    screen = io.StringIO()
    pieces = np.array_split(waveforms[2], 20)
    show(
        OnlineRecognizer(stream.path),
        LiveAudio(16000, iter(pieces)),
        Console(file=screen, force_terminal=True, width=200, highlight=False),
    )
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "\n", screen.getvalue())
    shown = [line for line in plain.splitlines() if line and "real-time" not in line]
    assert len(dict.fromkeys(shown)) > 3
    assert plain.count("real-time factor") > 20
    assert shown[-1].startswith(shown[1])


def test_an_endpoint_makes_a_line(stream, wav):
    result = invoke(stream.path, "--wav", wav, "--fast", "--rule3-min-utterance-length", "0.5")
    assert result.exit_code == 0, result.exception
    assert len(result.output.splitlines()) >= 4


def test_a_paced_file_takes_its_time(wav, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("converters.streaming.audio.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(
        "converters.streaming.audio.time.sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds)
    )
    with wav_audio(wav, paced=True) as audio:
        arrived = [clock[0] for _ in audio.chunks]
    np.testing.assert_allclose(arrived, np.arange(1, 21) / 10)


def test_wrong_requests_are_one_sentence(stream, whole_of_stream, wav, tmp_path, monkeypatch):
    def message(*arguments) -> str:
        error = invoke(*arguments).exception
        assert isinstance(error, InputError), error
        return str(error)

    assert "either --wav FILE or --mic" in message(stream.path)
    assert "either --wav FILE or --mic" in message(stream.path, "--wav", wav, "--mic")
    assert "a microphone has its own pace" in message(stream.path, "--mic", "--fast")
    assert "not a streaming file" in message(whole_of_stream.path, "--wav", wav)
    assert "cannot read the audio file" in message(stream.path, "--wav", tmp_path / "none.wav")
    (tmp_path / "text.wav").write_text("no audio")
    assert "cannot read the audio file" in message(stream.path, "--wav", tmp_path / "text.wav")
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert "pip install 'tfconformer[mic]'" in message(stream.path, "--mic")


def test_the_microphone_is_read_until_it_stops(stream, waveforms, monkeypatch):
    class Microphone:
        def __init__(self, samplerate, channels, dtype):
            assert (samplerate, channels, dtype) == (16000, 1, "float32")
            self.blocks = iter(waveforms[2].reshape(-1, 1600, 1))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self, size):
            assert size == 1600
            block = next(self.blocks, None)
            if block is None:
                raise KeyboardInterrupt
            return block, False

    module = types.SimpleNamespace(InputStream=Microphone, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    result = invoke(stream.path, "--mic")
    assert result.exit_code == 0, result.exception
    assert result.output.splitlines()[-1].startswith("2.0 s of audio")


def test_damaged_audio_is_recognized_up_to_the_damage(stream, tmp_path, waveforms):
    path = tmp_path / "half.flac"
    soundfile.write(path, waveforms[2], 16000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    result = invoke(stream.path, "--wav", path, "--fast")
    assert isinstance(result.exception, InputError)
    assert re.fullmatch(rf"{re.escape(str(path))}, after [\d.]+ s: corrupt audio \(.*\)", str(result.exception))
    expected = tiny_tokenizer().decode(greedy_decode(open_stream(stream.path).run(waveforms[2])))
    text = result.output.splitlines()[0]
    assert len(text) > 5 and expected.startswith(text[:-2])  # the last frames decode otherwise: the audio ends there


def test_audio_follows_the_rules_of_shards(stream, tmp_path, waveforms):
    files = {
        "gsm.wav": (waveforms[2][::2], {"samplerate": 8000, "subtype": "GSM610"}, None),
        "scaled.wav": (waveforms[2] * 32768, {"samplerate": 16000, "subtype": "FLOAT"}, "far outside of [-1, 1]"),
        "opposite.wav": (np.stack([waveforms[2], -waveforms[2]], axis=1), {"samplerate": 16000}, "of opposite phase"),
    }
    for name, (samples, options, message) in files.items():
        soundfile.write(tmp_path / name, samples, **options)
        result = invoke(stream.path, "--wav", tmp_path / name, "--fast")
        if message is None:
            assert result.exit_code == 0, result.exception
        else:
            assert isinstance(result.exception, InputError) and message in str(result.exception)
