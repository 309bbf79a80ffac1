"""Exported models that several test files share; a conversion takes seconds, so each is made once."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import soundfile
import tf_keras as keras
from xdist.scheduler import LoadScopeScheduling

import converters.custom_ops
from converters.runtime.model import RUNTIMES
from tests.support.processor_time import ProcessorTime
from tests.support.tiny_conformer import (
    INT8_ACTIVATIONS,
    LITERT,
    LOOK_AHEAD,
    ONE_BLOCK,
    PARROTRON,
    PARROTRON_RULES,
    STREAMING,
    TRANSDUCER,
    TRANSDUCER_RULES,
    VOCODER,
    VOCODER_RULES,
    WEIGHTS_ONLY,
    tiny_config,
    tiny_model,
    tiny_tokenizer,
    tiny_waveforms,
)
from tests.support.tracing import omit_optimization, omit_stacks
from tfconformer import memory
from tfconformer.config import Config
from tfconformer.data.manifest import Utterance, write_manifest
from tfconformer.data.shards import write_shards

# Files that build or convert the same things, by a part of their paths. The native core runs the file of conversion.
TOGETHER = {
    "android_bench/": "android",
    "exporter/test_freeze": "whole utterances",
    "exporter/test_litert_target": "whole utterances",
    "exporter/test_rewrite": "whole utterances",
    "exporter/test_verify": "whole utterances",
    "runtime/test_compiled_model": "whole utterances",
    "commands/test_convert": "android",
    "evaluation/test_generated_speech": "android",
    "commands/test_stream.py": "streams",
    "exporter/test_conversion_export": "android",
    "streaming/test_online_converter": "android",
    "commands/test_transcribe.py": "streams",
    "exporter/test_transducer_export": "streams",
    "runtime/test_stream_model": "streams",
    "streaming/test_online_recognizer": "streams",
    "project/test_wheel": "wheels",
    "project/test_runtime_wheel": "wheels",
    "training/test_distribution": "processes of trainings",
    "training/test_train.py": "processes of trainings",
}


class Scheduling(LoadScopeScheduling):
    """A scheduler that runs in one process the tests that share fixtures: those of a file, and of files `TOGETHER`."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((scope for part, scope in TOGETHER.items() if part in file), file)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(ProcessorTime())
    omit_stacks()
    omit_optimization()
    # TensorFlow's modules are three hundred thousand objects that live as long as the process: the collector need not
    # visit them each time that tracing a graph makes thousands more.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    # The models of tests are small, and to visit every object of a process takes a third of their export.
    memory.release_freed = lambda: None


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


@dataclass(frozen=True)
class Exported:
    """A quantized model, its prepared layers, the frozen graph and the exported file."""

    trained: object
    config: object
    prepared: object
    frozen: object
    path: Path


@dataclass(frozen=True)
class Conversion:
    """Two models, and the file that converts with both."""

    converter: object
    voice: object
    path: Path
    report: object


@pytest.fixture(autouse=True)
def unchanged_log_levels() -> Iterator[None]:
    """Takes back the log levels that a command sets for its process, so that no test depends on the one before it."""
    levels = {logger: logger.level for logger in map(logging.getLogger, ("tfconformer", "converters", "android_bench"))}
    yield
    for logger, level in levels.items():
        logger.setLevel(level)


@pytest.fixture(scope="session")
def native_library() -> Path:
    return converters.custom_ops.library_path()


@pytest.fixture(scope="session")
def weights_only(tmp_path_factory) -> Exported:
    return _export(*_model(WEIGHTS_ONLY), tmp_path_factory.mktemp("weights_only"))


@pytest.fixture(scope="session")
def int8_activations(tmp_path_factory) -> Exported:
    return _export(*_model(INT8_ACTIVATIONS), tmp_path_factory.mktemp("int8_activations"))


@pytest.fixture(scope="session")
def litert(tmp_path_factory) -> Exported:
    model = _model(LITERT, {"stackers": [{"after": 1, "right": 3}]})
    return _export(*model, tmp_path_factory.mktemp("litert"), target="litert")


@pytest.fixture(scope="session")
def whole_of_stream(stream, tmp_path_factory) -> Exported:
    """The model of `stream`, exported for whole utterances."""
    return _export(stream.trained, stream.config, tmp_path_factory.mktemp("whole_of_stream"))


@pytest.fixture(scope="session")
def stream(tmp_path_factory) -> Exported:
    """Packed layers of 2 to 8 bits and float ones, in chunks of three frames."""
    return _export(*_model(WEIGHTS_ONLY, STREAMING), tmp_path_factory.mktemp("stream"), streaming=True)


@pytest.fixture(scope="session")
def late_stream(tmp_path_factory) -> Exported:
    """A float model whose attention and convolutions have right context, so that its logits are delayed."""
    return _export(*_model([], LOOK_AHEAD | ONE_BLOCK), tmp_path_factory.mktemp("late_stream"), streaming=True)


@pytest.fixture(scope="session")
def late_packed_stream(tmp_path_factory) -> Exported:
    """A model like that of `late_stream` with packed layers, whose attention is a custom operation, in two blocks."""
    return _export(*_model(WEIGHTS_ONLY, LOOK_AHEAD), tmp_path_factory.mktemp("late_packed_stream"), streaming=True)


@pytest.fixture(scope="session")
def transducer_stream(tmp_path_factory) -> Exported:
    """A transducer with packed layers of 2 to 8 bits in its encoder and decoder, in chunks of three frames."""
    model = _model(TRANSDUCER_RULES, STREAMING | TRANSDUCER | ONE_BLOCK, seed=3)  # with others it has few labels
    return _export(*model, tmp_path_factory.mktemp("transducer"), streaming=True)


@pytest.fixture(scope="session")
def whole_transducer(transducer_stream, tmp_path_factory) -> Exported:
    """The model of `transducer_stream`, exported for whole utterances."""
    return _export(transducer_stream.trained, transducer_stream.config, tmp_path_factory.mktemp("whole_transducer"))


@pytest.fixture(scope="session")
def late_transducer(tmp_path_factory) -> Exported:
    """A float transducer whose encodings are delayed by right context."""
    return _export(*_model([], LOOK_AHEAD | TRANSDUCER), tmp_path_factory.mktemp("late_transducer"), streaming=True)


@pytest.fixture(scope="session")
def conversion(native_library, tmp_path_factory) -> Conversion:
    """A quantized model of speech-to-speech and a quantized vocoder, random both, exported and verified as one."""
    from converters.exporter.pipeline import export_model
    from converters.exporter.run_model import RunModel, with_vocoder

    decoder = PARROTRON["parrotron"] | {"memory_blocks": [1]}
    tree = tiny_config(PARROTRON_RULES, STREAMING | ONE_BLOCK | {"parrotron": decoder}).model_dump()
    tree |= {"task": "speech_to_speech"}
    voice_tree = tiny_config(VOCODER_RULES).model_dump() | {"task": "vocoder", "model": VOCODER}
    voice_tree["features"] = VOCODER["vocoder"]["spectrogram"]
    converter, voice = (
        RunModel(tiny_model(config), config, "qat") for config in map(Config.model_validate, (tree, voice_tree))
    )
    both = with_vocoder(converter, voice)
    path = tmp_path_factory.mktemp("conversion") / "conversion.tflite"
    report = export_model(
        both.model, both.config, tiny_tokenizer(), path, tiny_waveforms()[:2], runtimes=RUNTIMES, streaming=True
    )
    return Conversion(converter, voice, path, report)


@pytest.fixture(scope="session")
def waveforms():
    return tiny_waveforms()


@pytest.fixture(scope="session")
def tiny_shards(tmp_path_factory) -> str:
    """The pattern of the shards of a set `test`, which holds the utterances of `waveforms`."""
    folder = tmp_path_factory.mktemp("tiny_shards")
    utterances = []
    for index, waveform in enumerate(tiny_waveforms()):
        soundfile.write(folder / f"{index}.wav", waveform, 16000, subtype="PCM_16")
        utterances.append(Utterance(f"{index}.wav", len(waveform) / 16000, "A B", "a"))
    write_manifest(folder / "test.jsonl", utterances)
    write_shards(folder / "test.jsonl", folder, "test")
    return str(folder / "test-*.tfrecord")


def _model(rules: list[dict], context: dict | None = None, seed: int = 0) -> tuple[keras.Model, Config]:
    config = tiny_config(rules, context)
    return tiny_model(config, seed), config


def _export(
    trained: keras.Model, config: Config, folder: Path, streaming: bool = False, target: str = "custom"
) -> Exported:
    from converters.exporter.pipeline import describe, freeze_prepared, prepare
    from converters.exporter.rewrite import rewrite
    from tfconformer.tasks import find_task

    prepared = prepare(find_task(config.task), trained, target=target, streaming=streaming)
    graph = freeze_prepared(prepared, config)
    metadata = describe(prepared, graph, config, tiny_tokenizer())
    path = folder / "model.tflite"
    path.write_bytes(rewrite(graph, prepared.constants, metadata))
    return Exported(trained, config, prepared, graph, path)
