"""Edits exported files at random and opens them as the commands do.

A file is a pure function of (base, seed, number). Every outcome but a result or an `InputError` is a fault. The files
run in a forked child, so that a crash of a runtime is an outcome too.
"""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import subprocess
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

from converters.evaluation import file_comparison, scoring
from converters.flatbuffer.editor import GraphFile
from converters.flatbuffer.metadata import METADATA
from converters.flatbuffer.model_file import read_model_file
from converters.runtime import isolated
from converters.runtime.model import open_model
from converters.runtime.tensor_model import load
from converters.streaming.online_converter import OnlineConverter
from converters.streaming.online_recognizer import OnlineRecognizer
from tests.converters.flatbuffer.fuzz.forked_children import ForkedChildren
from tfconformer import cli
from tfconformer.data.pipeline import evaluation_utterances
from tfconformer.errors import InputError
from tfconformer.training import checkpoint

Opening = Callable[[Path, int], str]
_SECONDS = 60  # of the processor for a file, and ten times as many on the clock; one that takes longer is a fault
_NUMBERS = [0, -1, 1, 2, 3, 16, 33, 2**16, 2**31 - 1, -(2**31)]
_VALUES: list[Any] = [
    *_NUMBERS, 1e308, -0.5, None, True, "", "x", "\ud800", "a" * 1000, [], [0], {}, {"a": {}}, 2**53, 2**70, [[[[]]]],
]  # fmt: skip


def mutated_file(base: bytes, generator: random.Random) -> bytes:
    """Returns a file with one to three edits."""
    file = GraphFile.parse(base)
    edits = [_edit_metadata, _edit_constant, _edit_tensor, _edit_operator, _edit_signature]
    for _ in range(generator.randint(1, 3)):
        generator.choice(edits)(file, generator)
    try:
        content = bytearray(file.to_bytes())
    except (ValueError, TypeError, IndexError, KeyError, OverflowError):  # the editor writes no such file
        content = bytearray(base)
    if generator.random() < 0.2 or content == base:
        for _ in range(generator.randint(1, 3)):
            content[generator.randrange(len(content))] = generator.randrange(256)
    return bytes(content)


def _edit_metadata(file: GraphFile, generator: random.Random) -> None:
    entries = [entry for entry in file.model.metadata or [] if entry.name == METADATA.encode()]
    if not entries:
        return
    tree = json.loads(bytes(file.model.buffers[entries[0].buffer].data))
    places = _places(tree)
    parent, key = generator.choice(places)
    if generator.random() < 0.2:
        del parent[key]
    elif generator.random() < 0.2:
        other, other_key = generator.choice(places)
        parent[key] = other.get(other_key) if isinstance(other, dict) else None
    else:
        parent[key] = generator.choice(_VALUES)
    try:
        content = json.dumps(tree).encode()
    except (ValueError, RecursionError):
        return
    entries[0].buffer = file.add_buffer(np.frombuffer(content, np.uint8))


def _places(tree: Any) -> list[tuple[Any, Any]]:
    items = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    return [place for key, value in items for place in ((tree, key), *_places(value))]


def _edit_constant(file: GraphFile, generator: random.Random) -> None:
    graph = generator.choice(file.graphs).subgraph
    constants = [one for one in graph.tensors if file.model.buffers[one.buffer].data is not None]
    constants = [one for one in constants if len(file.model.buffers[one.buffer].data)]
    if not constants:
        return
    ours = [one for one in constants if (one.name or b"").endswith((b"/params", b"/scales", b"/offsets", b"/epsilon"))]
    tensor = generator.choice(ours if ours and generator.random() < 0.7 else constants)
    content = np.array(file.model.buffers[tensor.buffer].data)
    if len(content) % 4 == 0 and generator.random() < 0.7:
        content.view(np.int32)[generator.randrange(len(content) // 4)] = generator.choice([*_NUMBERS, 0x7FC07E00])
    else:
        content[generator.randrange(len(content))] = generator.randrange(256)
    if generator.random() < 0.1:
        content = content[: generator.randrange(len(content))]
    tensor.buffer = file.add_buffer(content)


def _edit_tensor(file: GraphFile, generator: random.Random) -> None:
    tensor = generator.choice(generator.choice(file.graphs).subgraph.tensors)
    edit = generator.randrange(5)
    if edit == 0 and tensor.shape is not None and len(tensor.shape):
        shape = np.array(tensor.shape)
        shape[generator.randrange(len(shape))] = generator.choice(_NUMBERS)
        tensor.shape = shape
    elif edit == 1:
        tensor.type = generator.randrange(20)
    elif edit == 2:
        tensor.buffer = generator.randrange(len(file.model.buffers))
    elif edit == 3:
        tensor.isVariable = not tensor.isVariable
    else:
        tensor.shapeSignature = np.array(generator.choices(_NUMBERS, k=generator.randrange(5)), np.int32)


def _edit_operator(file: GraphFile, generator: random.Random) -> None:
    graph = generator.choice(file.graphs).subgraph
    if not graph.operators:
        return
    operator = generator.choice(graph.operators)
    inputs, outputs = list(operator.inputs), list(operator.outputs)
    index, edit = generator.randrange(-1, len(graph.tensors)), generator.randrange(7)
    if edit == 0 and inputs:
        inputs[generator.randrange(len(inputs))] = index
    elif edit == 1 and outputs:
        outputs[generator.randrange(len(outputs))] = max(index, 0)
    elif edit == 2:
        outputs.append(max(index, 0))
    elif edit == 3 and inputs:
        del inputs[generator.randrange(len(inputs))]
    elif edit == 4:
        inputs.append(index)
    elif edit == 5:
        operator.opcodeIndex = generator.randrange(len(file.model.operatorCodes))
    else:
        code = file.model.operatorCodes[operator.opcodeIndex]
        code.builtinCode = code.deprecatedBuiltinCode = generator.randrange(127)
    operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)


def _edit_signature(file: GraphFile, generator: random.Random) -> None:
    signature = generator.choice(file.model.signatureDefs)
    ends = [*signature.inputs, *signature.outputs]
    if not ends:
        return
    entry = generator.choice(ends)
    if generator.random() < 0.5:
        entry.tensorIndex = generator.randrange(len(file.graphs[signature.subgraphIndex].subgraph.tensors))
    else:
        entry.name = generator.choice([b"", b"x", b"\xff", *(one.name for one in ends)])


def open_as_commands_do(path: Path, runtime: str, samples: int, with_summary: bool) -> None:
    """Opens a file as `evaluate`, `stream`, `convert` and `converters.load` do.

    If asked also as `summary` does, which builds a Keras model for a second.

    Raises:
      InputError: all of them refuse the file; the message of the first.
    """
    waveform = np.linspace(-0.5, 0.5, samples, dtype=np.float32)
    refusals: list[InputError] = []

    def attempt(action: Callable[[], object]) -> None:
        try:
            action()
        except InputError as error:
            refusals.append(error)

    def summarize() -> None:
        file = read_model_file(path)
        _ = file.size, file.training, file.quantization, file.parameters
        if with_summary:
            file.layer_rows()

    def recognize() -> None:
        recognizer = OnlineRecognizer(path, runtime)
        recognizer.accept_waveform(16000, waveform)
        recognizer.input_finished()
        recognizer.decode()
        _ = recognizer.result.text

    def convert() -> None:
        converter = OnlineConverter(path, runtime)
        converter.accept_waveform(16000, waveform)
        converter.input_finished()
        converter.convert()
        converter.read_audio()

    def compute() -> None:
        model = load(path, runtime)
        shapes = {one.name: ([abs(size) for size in one.shape], one.dtype) for one in model.graph.inputs}
        model(**{name: np.zeros(shape, dtype) for name, (shape, dtype) in shapes.items() if np.prod(shape) < 2**20})

    attempts = [summarize, lambda: open_model(path, runtime).run(waveform), recognize, convert, compute]
    for one in attempts:
        attempt(one)
    if len(refusals) == len(attempts):
        raise refusals[0]


def open_in_process(runtime: str, samples: int = 4000) -> Opening:
    """Returns an opening of files by the functions of the commands, for `run`."""

    def outcome(path: Path, number: int) -> str:
        try:
            open_as_commands_do(path, runtime, samples, with_summary=number % 50 == 0)
        except InputError as error:
            return "refused" if "\n" not in str(error) else f"refused in several lines: {error}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return "ran"

    return outcome


def open_by_commands(shards: Path, recording: Path, runtime: str) -> Opening:
    """Returns an opening of files by every command that opens one, for `run`.

    Args:
      shards: the pattern of a test set of one utterance.
      recording: an audio file.
      runtime: see `tfconformer evaluate --runtime`.
    """

    def outcome(path: Path, number: int) -> str:
        commands = [
            ["summary", path],
            ["evaluate", path, "--shards", shards, "--runtime", runtime],
            ["stream", path, "--wav", recording, "--runtime", runtime],
            ["transcribe", path, recording, "--runtime", runtime],
            ["convert", recording, path.with_name("out.wav"), path, "--runtime", runtime],
            ["bench", path, "--shards", shards, "--rounds", "1"],
        ]
        if number % 25 == 0:  # three quantizations
            commands.append([*commands[-1], "--baselines", path])
        statuses = []
        for words in commands:
            at = os.lseek(2, 0, os.SEEK_END)
            try:
                cli.main([str(word) for word in words])
            except SystemExit as end:
                statuses.append(int(end.code or 0))
            printed = Path("/proc/self/fd/2").read_bytes()[at:].decode(errors="replace")
            sentences = [line for line in printed.splitlines() if line.startswith(("tfconformer: ", "Error: "))]
            most = 2 if words[0] == "transcribe" else 1  # which also counts the audio files, of which there is one
            wrong = statuses[-1] and not 1 <= len(sentences) <= most
            if "Traceback" in printed or statuses[-1] not in (0, 1, 2, 3) or wrong:
                return f"{words[0]} ended with {statuses[-1]}: {printed}"
        return "ran" if 0 in statuses else "refused"

    return outcome


@contextmanager
def cheap_commands() -> Iterator[None]:
    """Makes the commands in the context cheaper: what differs is neither what they compute nor what they print.

    Child processes are forks of one that has imported their modules. The list of commands, the Keras model of a
    configuration, which `summary` counts, and the utterances of shards are made once.
    """
    models: dict[tuple[str, int], Any] = {}
    build = checkpoint.abstract_model

    def built(config: Any, vocabulary_size: int) -> Any:
        key = config.model_dump_json(), vocabulary_size
        if key not in models:
            models[key] = build(config, vocabulary_size)
        return models[key]

    @functools.cache
    def read(shards: tuple[Path, ...], limit: int | None) -> list[Any]:
        return list(evaluation_utterances(shards, limit=limit))

    def utterances(shards: Sequence[Path], limit: int | None = None) -> list[Any]:
        return read(tuple(shards), limit)

    with ForkedChildren("converters.runtime.isolated", "converters.runtime.model") as children, ExitStack() as patches:
        for place, name, replacement in (
            (isolated, "subprocess", SimpleNamespace(Popen=children.start, PIPE=subprocess.PIPE)),
            (cli, "entry_points", functools.cache(cli.entry_points)),
            (checkpoint, "abstract_model", built),
            (scoring, "evaluation_utterances", utterances),
            (file_comparison, "evaluation_utterances", utterances),
        ):
            patches.enter_context(patch.object(place, name, replacement))
        yield


def run(
    folder: Path,
    bases: Sequence[bytes],
    seed: int,
    numbers: range,
    opening: Opening,
) -> tuple[Counter[str], dict[int, str]]:
    """Opens mutated files in forked children, one child until a crash.

    Args:
      folder: takes the files.
      bases: the contents of valid files.
      seed: of all cases.
      numbers: those of the cases.
      opening: opens a file, given its path and its number; returns "ran", "refused" or a description of a fault.

    Returns:
      The numbers of files that ran and were refused; and the faults: another outcome by the number of the file.
    """
    counts: Counter[str] = Counter()
    faults: dict[int, str] = {}
    left = list(numbers)
    while left:
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            log = os.open(folder / "log", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            try:
                with os.fdopen(writable, "w") as pipe:
                    for number in left:
                        signal.setitimer(signal.ITIMER_PROF, _SECONDS)
                        signal.alarm(10 * _SECONDS)
                        generator = random.Random(f"{seed}/{number}")
                        path = folder / "m.tflite"
                        path.write_bytes(mutated_file(generator.choice(bases), generator))
                        print(json.dumps(opening(path, number)), file=pipe, flush=True)
                os._exit(0)
            except BaseException:  # which must not end the contexts of the parent
                traceback.print_exc()
                os._exit(1)
        os.close(writable)
        with os.fdopen(readable) as pipe:
            outcomes = [json.loads(line) for line in pipe]
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != 0:
            outcomes.append(f"the process ended with {code}: {(folder / 'log').read_text(errors='replace')[-2000:]}")
        for number, outcome in zip(left, outcomes, strict=False):
            if outcome in ("ran", "refused"):
                counts[outcome] += 1
            else:
                faults[number] = outcome
        if code == 0:
            break
        left = left[len(outcomes) :]
    return counts, faults
