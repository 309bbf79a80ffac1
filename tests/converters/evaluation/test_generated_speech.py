"""Generated speech is scored beside its source and target, by a recognizer that is not the model's."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from converters.evaluation import moonshine
from converters.evaluation.generated_speech import (
    _GENERATORS,
    FORCED,
    SHUFFLED,
    generates_speech,
    score_generated_speech,
)
from converters.evaluation.moonshine import Moonshine
from tests.conftest import Conversion
from tests.support.tiny_conformer import tiny_waveforms
from tfconformer.data.manifest import Utterance, write_manifest
from tfconformer.data.shards import write_shards
from tfconformer.decoding.wer import character_error_rate
from tfconformer.errors import InputError
from tfconformer.reports.tables import describe

pytestmark = pytest.mark.usefixtures("native_library")


def shards_of_pairs(folder: Path) -> list[Path]:
    source, target, _ = tiny_waveforms()
    for name, wave in (("s.wav", source), ("t.wav", target)):
        soundfile.write(folder / name, wave, 16000, subtype="PCM_16")
    write_manifest(folder / "pairs.jsonl", [Utterance("s.wav", len(source) / 16000, "ONE TWO", "a", "t.wav")])
    return write_shards(folder / "pairs.jsonl", folder, "pairs")


def test_a_conversion_is_scored_beside_source_and_target(conversion: Conversion, tmp_path: Path) -> None:
    heard = []

    def recognize(waveform: np.ndarray) -> str:
        heard.append(waveform)
        return ("ONE", "ONE TWO", "ONE TOO", "ONE")[len(heard) - 1]

    scores = list(
        score_generated_speech(
            conversion.path, "ours", {"pairs": shards_of_pairs(tmp_path)}, "ai-edge-litert", recognizer=recognize
        )
    )
    rows = {score.row.model: score.row for score in scores}
    assert list(rows) == ["source", "target", "ours", f"ours{FORCED}"]
    assert [row.accuracy.wer for row in rows.values()] == [0.5, 0.0, 0.5, 0.5]
    np.testing.assert_allclose(heard[0], tiny_waveforms()[0], atol=1e-4)
    np.testing.assert_allclose(heard[1], tiny_waveforms()[1], atol=1e-4)
    assert rows["source"].generated_speech.length_ratio_p50 == pytest.approx(1 / 3, rel=1e-3)
    assert rows["source"].generated_speech.stopped is None
    assert rows["ours"].generated_speech.stopped in (0.0, 1.0)
    assert rows["ours"].generated_speech.length_ratio_p50 == pytest.approx(len(heard[2]) / 16000)
    assert rows["ours"].generated_speech.cer == pytest.approx(1 / 7)  # TWO and TOO
    assert rows["ours"].size.file_bytes == conversion.path.stat().st_size
    assert "ended by the decoder; after the end: first sound" in describe(rows["ours"])
    speech = rows["ours"].generated_speech
    # It begins after the end of the source, two thirds of a second long.
    assert 300 < speech.first_sound_ms_p50 <= speech.first_sound_ms_p90
    assert speech.rest_ms_p50 > 0
    # With teacher forcing there are as many steps, of two hops of 10 ms, as the target has.
    assert len(heard[3]) == len(tiny_waveforms()[1]) // 320 * 320
    assert scores[2].transcripts[0].hypothesis == "ONE TOO"


def test_a_lag_and_another_sentence_have_rows(conversion: Conversion, tmp_path: Path) -> None:
    shards = {"pairs": [*shards_of_pairs(tmp_path)] * 2}
    scores = score_generated_speech(conversion.path, "ours", shards, "ai-edge-litert", recognizer=str, lag=0.16)
    rows = {score.row.model: score.row for score in itertools.islice(scores, 4)}
    assert list(rows) == ["source", "target", "ours", f"ours{SHUFFLED}"]
    assert rows["ours"].generated_speech.lag_ms == 160
    assert "160 ms behind the speaker" in describe(rows["ours"])


def test_plain_shards_have_no_target(conversion: Conversion, tiny_shards: str) -> None:
    shards = sorted(Path(tiny_shards).parent.glob("*.tfrecord"))
    with pytest.raises(InputError, match="has no target: generated speech is scored on shards of pairs"):
        next(score_generated_speech(conversion.path, "ours", {"test": shards}, "ai-edge-litert", recognizer=str))


def test_files_that_make_speech_have_a_scorer(conversion: Conversion) -> None:
    assert generates_speech(conversion.path)
    assert set(_GENERATORS) == {"conversion", "vocoder"}


def test_archives_of_the_recognizer_are_pinned(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / moonshine._MODELS.name).write_bytes(b"something else")
    with pytest.raises(InputError, match="is not the archive that `npm pack @usefulsensors"):
        Moonshine(tmp_path)


def test_characters_count_with_their_spaces() -> None:
    assert character_error_rate(["AB C", "D"], ["AB C", "E"]) == pytest.approx(1 / 5)
