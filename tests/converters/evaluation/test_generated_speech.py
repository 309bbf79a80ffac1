"""Generated speech is scored beside its source and target, by a recognizer that is not the model's."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from converters.evaluation import dnsmos, moonshine
from converters.evaluation.dnsmos import Dnsmos
from converters.evaluation.generated_speech import (
    _GENERATORS,
    FORCED,
    SHUFFLED,
    Listeners,
    generates_speech,
    score_generated_speech,
)
from converters.evaluation.moonshine import Moonshine
from tests.conftest import Conversion
from tests.support.tiny_conformer import tiny_tokenizer, tiny_waveforms
from tfconformer.data.manifest import Utterance, write_manifest
from tfconformer.data.shards import write_shards
from tfconformer.decoding.wer import character_error_rate
from tfconformer.errors import InputError
from tfconformer.reports.tables import describe

pytestmark = pytest.mark.usefixtures("native_library")


# They return anything: a test that takes them is not about what is heard.
DEAF = Listeners(recognize=str, rate=len)


def shards_of_pairs(folder: Path) -> list[Path]:
    source, target, _ = tiny_waveforms()
    for name, wave in (("s.wav", source), ("t.wav", target)):
        soundfile.write(folder / name, wave, 16000, subtype="PCM_16")
    write_manifest(folder / "pairs.jsonl", [Utterance("s.wav", len(source) / 16000, "ONE TWO", "a", "t.wav")])
    return write_shards(folder / "pairs.jsonl", folder, "pairs")


@pytest.fixture(scope="module")
def voice_file(conversion: Conversion, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vocoder of `conversion` as a file of its own."""
    from converters.exporter.pipeline import export_model

    path = tmp_path_factory.mktemp("voice") / "voice.tflite"
    voice = conversion.voice
    export_model(voice.model, voice.config, tiny_tokenizer(), path, tiny_waveforms()[:1])
    return path


def test_a_conversion_is_scored_beside_source_and_target(conversion: Conversion, tmp_path: Path) -> None:
    heard = []

    def recognize(waveform: np.ndarray) -> str:
        heard.append(waveform)
        return ("ONE", "ONE TWO", "ONE TOO", "ONE")[len(heard) - 1]

    scores = list(
        score_generated_speech(
            conversion.path,
            "ours",
            {"pairs": shards_of_pairs(tmp_path)},
            "ai-edge-litert",
            listeners=Listeners(recognize, rate=len),
        )
    )
    rows = {score.row.model: score.row for score in scores}
    assert list(rows) == ["source", "target", "ours", f"ours{FORCED}"]
    assert [row.accuracy.wer for row in rows.values()] == [0.5, 0.0, 0.5, 0.5]
    assert [row.generated_speech.mos for row in rows.values()] == [len(waveform) for waveform in heard]
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
    scores = score_generated_speech(conversion.path, "ours", shards, "ai-edge-litert", listeners=DEAF, lag=0.16)
    rows = {score.row.model: score.row for score in itertools.islice(scores, 4)}
    assert list(rows) == ["source", "target", "ours", f"ours{SHUFFLED}"]
    assert rows["ours"].generated_speech.lag_ms == 160
    assert "160 ms behind the speaker" in describe(rows["ours"])


def test_sources_without_a_target_are_converted(conversion: Conversion, tiny_shards: str) -> None:
    shards = sorted(Path(tiny_shards).parent.glob("*.tfrecord"))
    scores = score_generated_speech(
        conversion.path, "ours", {"human": shards}, "ai-edge-litert", limit=1, listeners=DEAF
    )
    rows = {score.row.model: score.row for score in scores}
    assert list(rows) == ["source", "ours"]
    assert rows["ours"].generated_speech.length_ratio_p50 is None
    assert "of the target's" not in describe(rows["ours"])


def test_what_needs_a_target_says_so(
    conversion: Conversion, voice_file: Path, tiny_shards: str, tmp_path: Path
) -> None:
    plain = sorted(Path(tiny_shards).parent.glob("*.tfrecord"))
    for file, shards in ((voice_file, plain), (conversion.path, [*shards_of_pairs(tmp_path), *plain])):
        with pytest.raises(InputError, match="of mixed has no target, which its score needs"):
            next(score_generated_speech(file, "ours", {"mixed": shards}, "ai-edge-litert", listeners=DEAF))


def test_copy_synthesis_has_a_pitch_error(voice_file: Path, tmp_path: Path) -> None:
    scores = score_generated_speech(
        voice_file, "ours", {"pairs": shards_of_pairs(tmp_path)}, "ai-edge-litert", listeners=DEAF
    )
    rows = {score.row.model: score.row.generated_speech for score in scores}
    assert [name for name, speech in rows.items() if speech.voicing_error is not None] == ["griffin_lim", "ours"]


def test_files_that_make_speech_have_a_scorer(conversion: Conversion) -> None:
    assert generates_speech(conversion.path)
    assert set(_GENERATORS) == {"conversion", "vocoder"}


def test_archives_of_the_listeners_are_pinned(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / moonshine._MODELS.name).write_bytes(b"something else")
    with pytest.raises(InputError, match="is not the archive that `npm pack @usefulsensors"):
        Moonshine(tmp_path)
    (tmp_path / dnsmos._WHEEL.name).write_bytes(b"something else")
    with pytest.raises(InputError, match=r"is not the archive that `pip download .* speechmos"):
        Dnsmos(tmp_path)


def test_characters_count_with_their_spaces() -> None:
    assert character_error_rate(["AB C", "D"], ["AB C", "E"]) == pytest.approx(1 / 5)
