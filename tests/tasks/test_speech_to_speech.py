"""Speech-to-speech conversion trains on pairs, is exported, and converts in runtimes as in Keras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from tensorflow.core.util.event_pb2 import Event

from converters.exporter.pipeline import ExportReport, export
from converters.flatbuffer.metadata import ModelMetadata
from converters.runtime.model import RUNTIMES, open_model
from tests.support.tiny_conformer import ONE_BLOCK, PARROTRON, PARROTRON_RULES, STREAMING, tiny_config, tiny_waveforms
from tfconformer.config import Config
from tfconformer.data.manifest import Utterance, write_manifest
from tfconformer.data.pipeline import SpectrogramFormat, SpeechTarget, evaluation_batches, training_dataset
from tfconformer.data.shards import write_shards
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.spectrogram import AFTER_THE_END, Pace, convert
from tfconformer.errors import InputError
from tfconformer.features.config import FeatureConfig
from tfconformer.features.log_mel import scaled_log_mel
from tfconformer.tasks import find_task
from tfconformer.training.run import RunDirectory
from tfconformer.training.train import train

pytestmark = pytest.mark.usefixtures("native_library")
TARGET = SpectrogramFormat(FeatureConfig(frame_length=800, fft_length=1024, mel_bins=8), 2)
PER_STEP = 2 * TARGET.features.frame_step


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[np.ndarray]]:
    """The pattern of shards of pairs, and their targets."""
    folder = tmp_path_factory.mktemp("pairs")
    targets = [waveform[: len(waveform) * 3 // 4] for waveform in tiny_waveforms(seed=1)]
    utterances = []
    for index, (source, target) in enumerate(zip(tiny_waveforms(), targets, strict=True)):
        for name, wave in ((f"{index}.wav", source), (f"t{index}.wav", target)):
            soundfile.write(folder / name, wave, 16000, subtype="PCM_16")
        utterances.append(Utterance(f"{index}.wav", len(source) / 16000, "A B", "a", f"t{index}.wav"))
    write_manifest(folder / "pairs.jsonl", utterances)
    write_shards(folder / "pairs.jsonl", folder, "pairs")
    return str(folder / "pairs-*.tfrecord"), targets


def test_targets_are_causal_spectrograms_in_steps_and_silence(pairs: tuple[str, list[np.ndarray]]) -> None:
    pattern, waves = pairs
    shards = sorted(Path(pattern).parent.glob("*.tfrecord"))
    tokenizer = Tokenizer.train(["A B"], tiny_config().data.tokenizer)
    data = tiny_config().data.model_copy(update={"augment": None, "batch_seconds": 64.0})
    training = training_dataset(shards, tokenizer, FeatureConfig(), data, 0, target=TARGET).take(3)
    found = {}
    evaluation = (target for _, target, _ in evaluation_batches(shards, FeatureConfig(), target=TARGET))
    for target in (*(target for _, target in training), *evaluation):
        assert isinstance(target, SpeechTarget)
        for spectrogram, steps in zip(target.spectrogram.numpy(), target.steps.numpy(), strict=True):
            found.setdefault(int(steps), []).append(spectrogram)
    silence = scaled_log_mel(tf.zeros([800]), TARGET.features).numpy()[0]
    assert sorted(found) == sorted(-(-len(wave) // PER_STEP) for wave in waves)
    for wave in waves:
        steps = -(-len(wave) // PER_STEP)
        padded = np.pad(wave, (800 - 160, steps * PER_STEP - len(wave)))
        # 16-bit PCM of a wave near 0.1, at frequencies whose energy may be near the floor.
        expected = scaled_log_mel(tf.constant(padded), TARGET.features).numpy().reshape(steps, 16)
        for spectrogram in found[steps]:
            np.testing.assert_allclose(spectrogram[:steps], expected, atol=2e-2)
            assert len(spectrogram) > steps
            # Windows of 800 samples reach four frames back, so two steps after the end there is digital silence.
            for after in spectrogram[steps + 2 :]:
                np.testing.assert_allclose(after, np.tile(silence, 2), atol=1e-6)


def test_targets_are_stretched_to_the_duration_of_their_sources(pairs: tuple[str, list[np.ndarray]]) -> None:
    shards = sorted(Path(pairs[0]).parent.glob("*.tfrecord"))
    formats = TARGET, TARGET._replace(source_duration=True)
    batches = [evaluation_batches(shards, FeatureConfig(), target=target) for target in formats]
    sources = {-(-len(source) * 3 // 4 // PER_STEP): len(source) for source in tiny_waveforms()}
    for (_, own, _), (_, stretched, _) in zip(*batches, strict=True):
        for old, steps, new, new_steps in zip(*own[1:], *stretched[1:], strict=True):
            source = sources.pop(int(steps))
            assert int(new_steps) == -(-source // PER_STEP)
            old, new = (spectrogram.numpy().reshape(-1, 8).astype(np.float64) for spectrogram in (old, new))
            positions = (np.arange(len(new)) + 0.5) * (source * 3 // 4) / source - 0.5
            for before, after in zip(old.T, new.T, strict=True):
                # Positions near 100 in float32 are off by 1e-5 of a frame, and frames differ by at most 1.
                np.testing.assert_allclose(after, np.interp(positions, np.arange(len(old)), before), atol=3e-5)
    assert not sources


@pytest.fixture(scope="module")
def run(pairs: tuple[str, list[np.ndarray]], tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run of one step of quantization-aware training with a frozen encoder."""
    # Frames of 80 ms, by a stacker that reads 3 frames ahead.
    encoder = {"stackers": [{"after": 0, "right": 3}], "attention_chunk": None, "right_context": [1]}
    decoder = PARROTRON["parrotron"] | {"memory_blocks": [1], "training_lags": [0.1, 9.0]}
    tree = tiny_config(PARROTRON_RULES, STREAMING | ONE_BLOCK | encoder | {"parrotron": decoder}).model_dump()
    tree["training"]["frozen"] = ["block_.*", "subsampling.*"]
    data = {"train": [pairs[0]], "dev": [pairs[0]]}
    config = Config.model_validate(tree | {"task": "speech_to_speech", "data": data})
    directory = RunDirectory(tmp_path_factory.mktemp("speech_to_speech"))
    model = train(config, directory)
    trainable = {layer.name.removeprefix("quant_") for layer in model.layers if layer.trainable_weights}
    assert {"memory_projection", "prenet_0", "stop_head", "ctc_head"} <= trainable
    assert not any(name.startswith(("block", "subsampling")) for name in trainable)
    return directory


def test_a_step_of_training_is_scored_by_the_error_of_spectrograms(run: RunDirectory) -> None:
    (epoch,) = run.history()
    assert epoch["mel_l1"] == pytest.approx(epoch["mel_l1_pairs"])
    assert {name for name in epoch if name.endswith("_loss")} >= {
        "refined_steps_loss",
        "stop_head_loss",
        "ctc_logits_loss",
    }


def test_every_epoch_converts_freely_and_draws_attention(run: RunDirectory) -> None:
    (epoch,) = run.history()
    assert 0 <= epoch["stopped_pairs"] <= 1
    assert min(epoch["length_ratio_pairs"], epoch["free_mel_l1_pairs"]) > 0
    assert abs(epoch["attention_lag_ms_pairs"]) < 2000
    records = tf.data.TFRecordDataset([str(path) for path in (run.tensorboard / "dev").glob("events*")])
    values = [value for record in records for value in Event.FromString(record.numpy()).summary.value]
    frames = [-(-((len(wave) - 400) // 160 + 1) // 8) for wave in tiny_waveforms()]
    assert [value.tag for value in values] == [f"attention_pairs/{index}" for index in range(3)]
    for value in values:
        width, height = value.tensor.string_val[:2]
        assert int(height) in frames
        assert int(width) > 0


@pytest.fixture(scope="module", params=[False, True], ids=["offline", "streaming"])
def exported(
    run: RunDirectory, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ExportReport]:
    path = tmp_path_factory.mktemp("exported") / "parrotron.tflite"
    runtimes = RUNTIMES if request.param else RUNTIMES[:1]
    return path, export(run, path, tiny_waveforms()[:2], runtimes, streaming=request.param)


def test_its_files_convert_as_keras_does(exported: tuple[Path, ExportReport]) -> None:
    path, report = exported
    # Weights alone are quantized: only the order of float32 sums differs, through some tens of recurrent steps.
    assert all(parity.relative_rms < 1e-4 for parity in report.parity)
    quantized = {layer.name for layer in report.layers if layer.spec}
    assert {"attention_lstm_recurrent", "decoder_lstm_input", "spectrogram_projection", "postnet_1"} < quantized
    metadata = ModelMetadata.read(path)
    assert metadata.task.name == "speech_to_speech"
    assert [graph.signature for graph in metadata.graphs][1] == "decode_step"
    model = open_model(path)
    converted = convert(model, model.run(tiny_waveforms()[2]))
    assert converted.spectrogram.shape == (converted.steps, 16)
    assert converted.attention.shape == (converted.steps, 25)


def test_no_step_behind_the_speaker_reads_what_comes_later(exported: tuple[Path, ExportReport]) -> None:
    """Changing the audio from a sample on changes no step that may read only frames that are certain before it."""
    model, waveform = open_model(exported[0]), tiny_waveforms()[2]
    frame, delay, changed = 1280, 2, 28000  # attention waits for one frame of 80 ms, and the stacker for two of 40 ms
    other = waveform.copy()
    other[changed:] = np.random.default_rng(7).uniform(-0.5, 0.5, len(other) - changed)
    pace = Pace(lag=3, clock=1 / 3)
    expected, actual = (convert(model, model.run(one), steps=60, pace=pace) for one in (waveform, other))
    earlier = (expected.read + delay) * frame <= changed
    assert 10 < earlier.sum() < 60
    np.testing.assert_array_equal(actual.spectrogram[earlier], expected.spectrogram[earlier])
    assert not np.array_equal(actual.spectrogram, expected.spectrogram)
    encoded = model.run(waveform)
    after, paced = (
        convert(model, encoded, pace=pace).spectrogram for pace in (AFTER_THE_END, Pace(len(encoded), 0.25))
    )
    np.testing.assert_array_equal(after, paced)


def test_layers_that_are_to_stay_as_they_are_must_exist(run: RunDirectory, tmp_path: Path) -> None:
    tree = run.config().model_dump()
    for pattern, message in (("decoder", "'decoder' matches no layer"), ("(", "is not a regular expression")):
        tree["training"]["frozen"] = [pattern]
        with pytest.raises(InputError, match=message):
            train(Config.model_validate(tree), RunDirectory(tmp_path / "run"))


def test_the_task_needs_its_section() -> None:
    with pytest.raises(InputError, match=r"needs the section model\.parrotron"):
        find_task("speech_to_speech").build(tiny_config().model, 80, 5)
