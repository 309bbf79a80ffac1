"""Measurements of streams, on a model that is small and random: what is counted, and against what it is compared."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from converters.commands.stream_report import stream_report
from converters.evaluation.stream_timing import interleaved_step_seconds, run_live
from converters.flatbuffer.metadata import StreamDescription, TensorDescription
from converters.runtime.speech_bounds import speech_bounds
from tests.support.tiny_conformer import STREAMING, WEIGHTS_ONLY, tiny_config, write_run
from tfconformer.errors import InputError
from tfconformer.reports.results import read_results
from tfconformer.training.run import RunDirectory


class FakeStream:
    """Steps of 320 samples with a delay of one frame; says symbol 1 in frames that hold a sample above 0.5."""

    description = StreamDescription(
        sample_rate=16000,
        step_samples=320,
        frame_samples=160,
        delay_frames=1,
        flush_samples=320,
        flush_signature="flush",
    )
    states = tuple(TensorDescription(name=name, shape=(1,), dtype="int32") for name in ("position", "received"))
    metadata = SimpleNamespace(task=SimpleNamespace(name="recognition_ctc", search="ctc"))

    def __init__(self, name: str = "", calls: list[str] | None = None) -> None:
        self.name, self.calls = name, calls if calls is not None else []
        self.reset()

    def reset(self) -> None:
        self.late = np.zeros([0, 2], np.float32)

    def step(self, samples):
        self.calls.append(self.name)
        loud = (samples.reshape(2, 160) > 0.5).any(axis=1)
        logits = np.concatenate([self.late, np.stack([np.full(2, 0.5), loud], axis=1).astype(np.float32)])
        self.late = logits[-1:]
        return logits[:-1]

    def finish(self, rest):
        return np.concatenate([self.step(np.pad(rest, (0, 320 - len(rest)))), self.late]) if len(rest) else self.late


def test_a_live_utterance_is_timed_from_the_onset_of_speech():
    waveform = np.zeros(1600, np.float32)
    waveform[800:] = 0.9  # in frame 5, which comes out one frame late: in the fourth step, when 1280 samples were there
    live = run_live(FakeStream(), waveform)
    assert live.ids == [1]
    assert len(live.outputs) == 10
    assert len(live.step_seconds) == 5
    assert speech_bounds(waveform, 16000)[0] == 800 / 16000
    assert live.first_token_seconds == pytest.approx((1280 - 800) / 16000 + live.step_seconds[3])
    assert live.rtf == (sum(live.step_seconds) + live.finish_seconds) / 0.1
    silent = run_live(FakeStream(), np.zeros(1500, np.float32))
    assert (silent.ids, silent.first_token_seconds, len(silent.step_seconds)) == ([], None, 4)


def test_models_take_turns_in_every_step():
    calls: list[str] = []
    models = {name: FakeStream(name, calls) for name in "abc"}
    seconds = interleaved_step_seconds(models, [np.zeros(320 * 5, np.float32), np.zeros(320 * 3 + 7, np.float32)])
    assert {name: len(times) for name, times in seconds.items()} == dict.fromkeys("abc", 4 + 2)
    turns = ["".join(turn) for turn in zip(*[iter(calls)] * 3, strict=True)]
    assert sorted(turns[:6]) == sorted(map("".join, itertools.permutations("abc")))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_run(RunDirectory(tmp_path_factory.mktemp("run")), tiny_config(WEIGHTS_ONLY, STREAMING)).path


def test_the_report_holds_every_measurement(run, tiny_shards, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "converters.evaluation.stream_report.importlib.util.find_spec", lambda name: None
    )  # no baselines
    output = tmp_path / "streaming.json"
    arguments = [f"tiny={run}", "--shards", tiny_shards, "--chunk", "4", "--compare", "4", "--long-seconds", "70"]
    result = CliRunner().invoke(stream_report, [*arguments, "--output", str(output)])
    assert result.exit_code == 0, result.exception
    accuracy, steps, long = read_results(output).rows
    assert (accuracy.model, accuracy.accuracy.test_set, accuracy.accuracy.utterances) == ("tiny", "test", 3)
    assert (accuracy.stream.chunk_ms, accuracy.stream.lookahead_ms) == (160, 120)
    assert accuracy.parity.different_transcripts == 0
    assert accuracy.parity.relative_rms < 1e-4  # as `verify.RELATIVE_RMS_LIMIT` says of float activations
    assert accuracy.responsiveness.first_token_ms_p50 is not None and accuracy.speed.rtf_p90 < 1
    assert (steps.step.step_time_ratio, steps.stream.state_bytes) == (1.0, accuracy.stream.state_bytes)
    assert long.audio_seconds == pytest.approx(70, abs=0.2)
    assert long.parity.relative_rms < 1e-4


def test_wrong_requests_are_one_sentence(tmp_path):
    def message(*arguments: str) -> str:
        result = CliRunner().invoke(stream_report, [*arguments, "--shards", "x", "--output", str(tmp_path / "x.json")])
        assert isinstance(result.exception, InputError), result.exception
        return str(result.exception)

    assert "NAME=DIRECTORY, got 'models/small'" in message("models/small")
    assert "two runs have the same name" in message("a=b", "a=c")
    assert "--compare 5 is not among the chunks 1, 2" in message(
        "a=b", "--chunk", "1", "--chunk", "2", "--compare", "5"
    )
