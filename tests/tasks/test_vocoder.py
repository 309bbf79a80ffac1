"""The vocoder trains on plain speech, is exported, and makes the same samples in runtimes as in Keras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from converters.exporter.pipeline import export
from converters.flatbuffer.metadata import ModelMetadata
from converters.runtime.model import RUNTIMES, open_model
from tests.support.tiny_conformer import VOCODER, VOCODER_RULES, tiny_config, tiny_waveforms
from tfconformer.config import Config
from tfconformer.data.pipeline import WaveformFormat, WaveformTarget, evaluation_batches
from tfconformer.decoding.vocoder import NeuralVocoder, vocode
from tfconformer.errors import InputError
from tfconformer.features.config import FeatureConfig
from tfconformer.features.log_mel import scaled_log_mel
from tfconformer.models.config import ModelConfig
from tfconformer.tasks import find_task
from tfconformer.training.run import RunDirectory
from tfconformer.training.train import train

pytestmark = pytest.mark.usefixtures("native_library")
FEATURES = FeatureConfig(frame_length=800, fft_length=1024, mel_bins=8)


def test_targets_are_waveforms_beside_their_causal_spectrograms(tiny_shards: str) -> None:
    shards = sorted(Path(tiny_shards).parent.glob("*.tfrecord"))
    found = []
    for _, target, _ in evaluation_batches(shards, FEATURES, target=WaveformFormat(FEATURES, 1)):
        assert isinstance(target, WaveformTarget)
        for spectrogram, waveform, pitch in zip(*(one.numpy() for one in target), strict=True):
            assert waveform.shape == (160 * len(pitch),)
            assert spectrogram.shape == (len(pitch), 8)
            found.append((spectrogram, waveform))
    assert len(found) == 3
    for wave in tiny_waveforms():
        # Four hops of silence make windows causal, and one is the look-ahead.
        ((spectrogram, waveform),) = [
            pair
            for pair in found
            if len(pair[1]) >= 800 + len(wave) and np.allclose(pair[1][800 : 800 + len(wave)], wave, atol=1e-4)
        ]
        assert not waveform[:800].any()
        expected = scaled_log_mel(tf.constant(waveform[160:]), FEATURES).numpy()
        np.testing.assert_allclose(spectrogram[: len(expected)], expected, atol=1e-3)
        # All of an utterance comes out.
        assert not waveform[800 + len(wave) :].any()


@pytest.fixture(scope="module")
def run(tiny_shards: str, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run of one step of quantization-aware training."""
    tree = tiny_config(VOCODER_RULES).model_dump()
    tree |= {"task": "vocoder", "model": VOCODER, "features": FEATURES.model_dump()}
    config = Config.model_validate(tree | {"data": {"train": [tiny_shards], "dev": [tiny_shards], "augment": None}})
    directory = RunDirectory(tmp_path_factory.mktemp("vocoder"))
    train(config, directory)
    return directory


def test_a_step_of_training_is_scored_by_the_distance_of_spectra(run: RunDirectory) -> None:
    (epoch,) = run.history()
    assert epoch["spectral_distance"] == pytest.approx(epoch["spectral_distance_test"])
    assert {"vocoder_pitch_loss", "vocoder_samples_loss"} < epoch.keys()


def test_its_file_makes_the_samples_that_keras_makes(run: RunDirectory, tmp_path: Path) -> None:
    path = tmp_path / "vocoder.tflite"
    report = export(run, path, tiny_waveforms()[:2], RUNTIMES, streaming=True)
    assert {layer.name for layer in report.layers if layer.spec} == {
        "vocoder_input",
        "vocoder_block_00_expand",
        "vocoder_block_00_project",
        "vocoder_gains",
    }
    # Sums in another order, and what they change the pitch by, times up to 160 harmonics, within a step.
    assert all(parity.relative_rms < 5e-5 for parity in report.parity)
    metadata = ModelMetadata.read(path)
    assert [graph.signature for graph in metadata.graphs][1] == "vocode_step"
    model = open_model(path)
    samples = vocode(NeuralVocoder(model), model.run(tiny_waveforms()[2]))
    assert samples.shape == (196 * 160,)  # 196 frames of 800 samples lie within two seconds
    assert np.isfinite(samples).all()


@pytest.mark.parametrize("length", [320, 700])
def test_windows_that_do_not_add_up_are_refused(length: int) -> None:
    tree = {"vocoder": {"spectrogram": {"frame_length": length, "fft_length": 1024}}}
    with pytest.raises(ValueError, match=f"frame_length {length} must be three or more times frame_step 160"):
        ModelConfig.model_validate(tree)


def test_the_task_needs_its_section_and_its_features() -> None:
    with pytest.raises(InputError, match=r"needs the section model\.vocoder"):
        find_task("vocoder").build(tiny_config().model, 8, 5)
    tree = tiny_config().model_dump() | {"model": VOCODER}
    with pytest.raises(InputError, match=r"needs features that are model\.vocoder\.spectrogram"):
        find_task("vocoder").build(Config.model_validate(tree).model, 80, 5)
