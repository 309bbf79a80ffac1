"""A run of speech-to-speech and one of a vocoder become one file, whose steps are those of Keras in every runtime."""

from __future__ import annotations

import pytest

from converters.exporter.run_model import RunModel, with_vocoder
from converters.flatbuffer.metadata import ModelMetadata
from converters.flatbuffer.model_file import read_model_file
from converters.runtime.model import RUNTIMES
from tests.conftest import Conversion
from tests.support.tiny_conformer import tiny_config
from tfconformer.config import Config
from tfconformer.errors import InputError
from tfconformer.tasks import find_task

pytestmark = pytest.mark.usefixtures("native_library")


def test_one_file_has_all_steps(conversion: Conversion) -> None:
    metadata = ModelMetadata.read(conversion.path)
    assert [graph.signature for graph in metadata.graphs] == ["encode_step", "decode_step", "vocode_step"]
    assert metadata.graphs[0].stream is not None
    assert metadata.graphs[0].stream.flush_signature == "flush"
    assert metadata.task.name == "conversion"
    assert (metadata.task.setting("bins"), metadata.task.setting("hop")) == (8, 160)
    assert metadata.text([1]) is not None


def test_its_samples_are_those_of_keras_in_every_runtime(conversion: Conversion) -> None:
    report = conversion.report
    assert [parity.runtime.split()[0] for parity in report.parity] == list(RUNTIMES)
    # Weights alone are quantized: only the order of float32 sums differs, within a step.
    assert all(parity.relative_rms < 5e-5 for parity in report.parity)
    quantized = {layer.name for layer in report.layers if layer.spec}
    assert {"attention_lstm_recurrent", "vocoder_gains"} < quantized
    custom = {name for name in report.operations if name.startswith("Tfconformer")}
    assert "TfconformerFullyConnected" in custom


def test_its_summary_counts_all_layers(conversion: Conversion) -> None:
    rows = {row.name: row for row in read_model_file(conversion.path).layer_rows()}
    assert rows["vocoder_gains"].macs == 100 * 12 * 1026
    assert rows["vocoder_block_00_depthwise"].macs == 100 * 3 * 12
    assert rows["spectrogram_projection"].macs == 50 * (20 + 16) * 16  # steps of two frames


def test_what_does_not_belong_together_is_refused(conversion: Conversion) -> None:
    converter, voice = conversion.converter, conversion.voice
    with pytest.raises(InputError, match="joins a run of vocoder with another one, got a run of speech_to_speech"):
        with_vocoder(converter, converter)
    with pytest.raises(InputError, match="joins a run of speech_to_speech with another one, got a run of vocoder"):
        with_vocoder(voice, voice)
    tree = voice.config.model_dump()
    tree["model"]["vocoder"]["spectrogram"]["mel_bins"] = 9
    other = RunModel(voice.model, Config.model_validate(tree), "qat")
    with pytest.raises(InputError, match=r"the decoder makes spectrograms of \(.*mel_bins=8.*reads those of .*=9"):
        with_vocoder(converter, other)


def test_a_conversion_is_not_trained() -> None:
    with pytest.raises(InputError, match="not trained: train speech_to_speech and vocoder"):
        find_task("conversion").target_format(tiny_config().model)
