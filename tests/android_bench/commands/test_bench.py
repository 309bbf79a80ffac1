"""The command `tfconformer bench`."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from android_bench.commands.bench import bench
from android_bench.emulator.qemu import Emulator
from converters.streaming.online_converter import OnlineConverter
from tests.conftest import Conversion
from tests.support.model_metadata import metadata, packed_dense
from tests.support.packed_layer import random_layer
from tests.support.tflite_builder import RecognizerBuilder
from tests.support.tiny_conformer import tiny_tokenizer
from tfconformer.data.manifest import Utterance, write_manifest
from tfconformer.data.shards import write_shards
from tfconformer.decoding.wer import word_errors
from tfconformer.errors import InputError
from tfconformer.reports.results import read_results

FRAME = 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recognizers with random weights, and shards of two test sets of noise."""
    folder = tmp_path_factory.mktemp("bench")
    random = np.random.default_rng(0)
    tokenizer = tiny_tokenizer()
    for bits in (4, 2):
        layer = random_layer(random, bits, FRAME, tokenizer.vocabulary_size + 1)
        description = metadata(
            packed_dense("ctc_head", layer),
            tokenizer=base64.b64encode(tokenizer.to_bytes()).decode(),
            config={"features": {"sample_rate": 16000}},
        )
        (folder / f"int{bits}.tflite").write_bytes(RecognizerBuilder([layer], description).finish())
    for test_set in ("test-clean", "test-other"):
        soundfile.write(folder / f"{test_set}.wav", random.uniform(-0.5, 0.5, 8 * FRAME), 16000, subtype="PCM_16")
        write_manifest(folder / f"{test_set}.jsonl", [Utterance(f"{test_set}.wav", 0.2, "CALL HOME", "speaker")])
        write_shards(folder / f"{test_set}.jsonl", folder, test_set)
    return folder


def run(*arguments: str | Path) -> str:
    return CliRunner().invoke(bench, [str(argument) for argument in arguments], catch_exceptions=False).output


def test_writes_one_row_per_model(folder: Path, tmp_path: Path) -> None:
    models, output = [folder / "int4.tflite", folder / "int2.tflite"], tmp_path / "bench.json"
    table = run(*models, "--shards", folder / "test-clean-*.tfrecord", "--rounds", "1", "--output", output)
    rows = read_results(output).rows
    assert [(row.model, row.quantization.weight_bits, row.accuracy.test_set) for row in rows] == [
        ("int4", 4, "test-clean"),
        ("int2", 2, "test-clean"),
    ]
    assert [row.size.file_bytes for row in rows] == [path.stat().st_size for path in models]
    assert "| int4 | 4 bits" in table and "| int2 | 2 bits" in table


def test_refuses_what_is_no_comparison(folder: Path, tmp_path: Path) -> None:
    clean = ("--shards", folder / "test-clean-*.tfrecord")
    with pytest.raises(InputError, match="one test set, got test-clean, test-other"):
        run(folder / "int4.tflite", "--shards", folder / "test-*.tfrecord")
    (tmp_path / "int4.tflite").write_bytes((folder / "int4.tflite").read_bytes())
    with pytest.raises(InputError, match="same name"):
        run(folder / "int4.tflite", tmp_path / "int4.tflite", *clean)
    with pytest.raises(InputError, match="at least one model"):
        run(*clean)
    with pytest.raises(InputError, match=r"missing.tflite: cannot be read"):
        run(folder / "missing.tflite", *clean)


def test_a_conversion_is_the_same_on_the_host_and_on_the_phones_processor(
    conversion: Conversion,
    emulator: Emulator,
    tiny_shards: str,
    waveforms: list[np.ndarray],
    native_library: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Emulator, "prepare", lambda: emulator)
    arguments = (conversion.path, "--shards", tiny_shards, "--rounds", "1", "--utterances", "2")
    tables, rows = {}, {}
    for backend in ("host", "qemu"):
        output = tmp_path / f"{backend}.json"
        tables[backend] = run(*arguments, "--backend", backend, "--output", output)
        (rows[backend],) = read_results(output).rows
    converter, texts = OnlineConverter(conversion.path), []
    for waveform in waveforms[:2]:
        converter.accept_waveform(16000, waveform)
        converter.input_finished()
        converter.convert()
        texts.append(converter.text)
        converter.reset()
    for row in rows.values():
        assert row.accuracy.wer == word_errors(["A B"] * 2, texts).wer  # of the CTC head
        assert row.cut_off == 0
    speed = rows["host"].conversion_speed
    assert 0 < speed.decoder_rtf_p50 <= speed.decoder_rtf_p90
    total = speed.encoder_rtf_p50 + speed.decoder_rtf_p50 + speed.vocoder_rtf_p50
    assert rows["host"].speed.rtf_p50 == pytest.approx(total)  # of two utterances the median is the mean
    assert "| encoder / decoder / vocoder |" in tables["host"]
    assert rows["qemu"].conversion_speed is None  # an emulator says nothing about speed
    assert "TFLite 2.14.0, qemu" in tables["qemu"]
