"""`tfconformer transcribe` as a user runs it, and the functions below it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import soxr
from click.testing import CliRunner

import converters
from converters.commands.transcribe import transcribe as command
from converters.runtime.child_process import child_command
from converters.runtime.isolated import IsolatedRecognizer
from converters.runtime.model import open_model
from tests.support import without_tensorflow
from tests.support.tiny_conformer import tiny_tokenizer
from tfconformer.decoding.beam import BeamSearch
from tfconformer.decoding.ctc import greedy_decode
from tfconformer.errors import InputError

pytestmark = pytest.mark.usefixtures("native_library")
RATE = 16000
FRAME = 0.04


@pytest.fixture(scope="module")
def wavs(tmp_path_factory, waveforms):
    """The waveforms as files; the last in stereo, whose mean is the waveform."""
    folder = tmp_path_factory.mktemp("wavs")
    difference = np.linspace(-0.1, 0.1, len(waveforms[2]), dtype=np.float32)
    stereo = np.stack([waveforms[2] + difference, waveforms[2] - difference], axis=1)
    for index, samples in enumerate([*waveforms[:2], stereo]):
        soundfile.write(folder / f"{index}.wav", samples, RATE, subtype="FLOAT")
    return [folder / f"{index}.wav" for index in range(3)]


def invoke(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.mark.parametrize("name", ["whole_of_stream", "stream"])
def test_files_become_lines_of_text(name, request, wavs, waveforms):
    path = request.getfixturevalue(name).path
    result = invoke(path, *wavs)
    assert result.exit_code == 0, result.exception
    model = open_model(path)
    texts = [tiny_tokenizer().decode(greedy_decode(model.run(waveform))) for waveform in waveforms]
    assert result.output.splitlines() == [f"{wav}: {text}" for wav, text in zip(wavs, texts, strict=True)]
    assert texts[2]


@pytest.mark.parametrize(
    ("offline", "streaming"), [("whole_of_stream", "stream"), ("whole_transducer", "transducer_stream")]
)
def test_words_are_those_of_the_text_with_times_within_the_audio(offline, streaming, request, wavs):
    paths = [request.getfixturevalue(name).path for name in (offline, streaming)]
    whole, stream = (converters.transcribe(path, wavs[2]) for path in paths)
    assert [word.text for word in whole.words] == whole.text.split() != []
    # The logits differ by rounding alone, so do confidences; times are multiples of a frame.
    assert [(word.text, word.start, word.end) for word in stream.words] == [
        (word.text, word.start, word.end) for word in whole.words
    ]
    np.testing.assert_allclose(
        [word.confidence for word in stream.words], [word.confidence for word in whole.words], rtol=1e-3
    )
    times = np.array([(word.start, word.end) for word in whole.words])
    assert (times[:, 0] < times[:, 1]).all() and (np.diff(times[:, 0]) >= 0).all()
    assert times.min() >= 0 and times.max() <= 2.0 + FRAME
    np.testing.assert_allclose(times / FRAME, np.round(times / FRAME), atol=1e-6)  # microseconds
    assert all(0 < word.confidence <= 1 for word in whole.words)


def test_a_beam_searches_files_of_ctc_too(whole_of_stream, wavs):
    narrow, wide = (converters.transcribe(whole_of_stream.path, wavs[2], beam=BeamSearch(width)) for width in (1, 8))
    assert [word.text for word in wide.words] == wide.text.split()
    assert narrow.words and wide.words


def test_a_language_model_is_for_runs(whole_of_stream, wavs, tmp_path):
    beam = BeamSearch(4, language_model=tmp_path / "words.arpa")
    with pytest.raises(InputError, match="a language model is for the directory of a run"):
        converters.transcribe(whole_of_stream.path, wavs[0], beam=beam)
    with pytest.raises(InputError, match="a language model is for the directory of a run"):
        IsolatedRecognizer(whole_of_stream.path, "ai-edge-litert", beam=beam)


@pytest.mark.parametrize("name", ["whole_of_stream", "transducer_stream"])
def test_hotwords_are_preferred(name, request, tmp_path, wavs):
    path = request.getfixturevalue(name).path
    (tmp_path / "words.txt").write_text("CALL HOME\n")
    options = "--beam-width", "4", "--hotwords", tmp_path / "words.txt"
    plain, boosted = invoke(path, wavs[2], *options[:2]), invoke(path, wavs[2], *options, "--hotword-boost", "40")
    assert boosted.exit_code == 0, boosted.exception
    assert "CALL HOME" in boosted.output and "CALL HOME" not in plain.output
    assert str(invoke(path, wavs[2], *options[2:]).exception) == "--hotwords needs --beam-width"


def test_the_recognizer_gives_the_words_of_a_file(stream, wavs, waveforms):
    recognizer = converters.Recognizer(stream.path, rules=())
    *partial, final = recognizer.stream(RATE, np.array_split(waveforms[1], 7))
    assert final.is_final and not any(result.is_final for result in partial)
    assert final.words == converters.transcribe(stream.path, wavs[1]).words
    assert final.tokens[: len(partial[-1].tokens)] == partial[-1].tokens != ()
    # The recognizer is ready for the next audio.
    again = list(recognizer.stream(RATE, [waveforms[1]]))
    assert again[-1].text == final.text


def test_another_rate_is_converted(whole_of_stream, tmp_path, waveforms):
    upsampled = soxr.resample(waveforms[2], RATE, 44100)
    soundfile.write(tmp_path / "44.wav", upsampled, 44100, subtype="FLOAT")
    expected = open_model(whole_of_stream.path).run(soxr.resample(upsampled, 44100, RATE))
    found = converters.transcribe(whole_of_stream.path, tmp_path / "44.wav")
    assert found.text == tiny_tokenizer().decode(greedy_decode(expected))


def test_times_and_json(stream, wavs):
    words = converters.transcribe(stream.path, wavs[2]).words
    lines = invoke(stream.path, wavs[2], "--timestamps").output.splitlines()[1:]
    assert [line.split(maxsplit=3) for line in lines] == [
        [f"{word.start:.2f}", f"{word.end:.2f}", f"{word.confidence:.2f}", word.text] for word in words
    ]
    objects = [json.loads(line) for line in invoke(stream.path, *wavs, "--json").output.splitlines()]
    assert [one["audio"] for one in objects] == [str(wav) for wav in wavs]
    assert objects[2]["words"] == [vars(word) for word in words]
    error = invoke(stream.path, wavs[0], "--json", "--timestamps").exception
    assert isinstance(error, InputError) and "--json has the times" in str(error)


def test_bad_audio_loses_no_other_result(whole_of_stream, tmp_path, wavs):
    (tmp_path / "text.wav").write_text("no audio")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "short.wav", np.zeros(399), RATE)
    soundfile.write(tmp_path / "long.wav", np.zeros(2 * RATE), RATE)
    soundfile.write(tmp_path / "opposite.wav", np.stack([np.ones(RATE), -np.ones(RATE)], axis=1) / 2, RATE)
    reasons = {
        "missing.wav": "unreadable file (No such file or directory)",
        "text.wav": "corrupt audio",
        "empty.wav": "0.000 s of audio, needs 0.025 s",
        "short.wav": "0.025 s of audio, needs 0.025 s",
        "long.wav": "too long (2 s): longer than 1.9 s needs a streaming file",
        "opposite.wav": "channels of opposite phase",
    }
    bad = [tmp_path / name for name in reasons]
    result = invoke(whole_of_stream.path, wavs[0], *bad, wavs[1], "--max-seconds", "1.9")
    assert str(result.exception) == "6 of 8 audio files could not be transcribed"
    assert [line.split(": ")[0] for line in result.stdout.splitlines()] == [str(wavs[0]), str(wavs[1])]
    for line, path in zip(result.stderr.splitlines(), bad, strict=True):
        assert line.startswith(f"tfconformer: cannot transcribe {path}: {reasons[path.name]}"), line


def test_a_stream_takes_any_length(stream, wavs):
    assert converters.transcribe(stream.path, wavs[2], max_seconds=0.1).words


@pytest.mark.parametrize("name", ["whole_of_stream", "transducer_stream"])
def test_tensorflow_is_not_needed(name, request, wavs):
    path = request.getfixturevalue(name).path
    run = child_command(without_tensorflow.__name__, str(path), str(wavs[2]))
    text = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert text == converters.transcribe(path, wavs[2]).text + "\n"


def test_importing_the_package_imports_nothing_else():
    code = (
        "import sys, converters; print(*(name for name in sys.modules if name.startswith(('converters.', 'tensor'))))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
