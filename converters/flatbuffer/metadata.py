"""The metadata of an exported file: task, tokenizer, configuration, one record per layer, and its graphs, as JSON.

    metadata = ModelMetadata.read("int4.tflite")
    metadata.graphs[0].signature, metadata.tokenizer, metadata.layers

It is the content of the flatbuffer metadata entry `TFCONFORMER`. So a program needs nothing but the `.tflite` to turn
speech into text, and a report needs nothing but it to list the layers. docs/reference/format.md describes the format.
Metadata of version 1 are converted while they are read.
"""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from converters.flatbuffer.reader import TfliteFile, read_tflite
from tfconformer import strict_json
from tfconformer.errors import InputError
from tfconformer.features.config import FeatureConfig
from tfconformer.models.config import ModelConfig
from tfconformer.quantization.spec import QuantSpec
from tfconformer.section import Section, explain

if TYPE_CHECKING:
    from tfconformer.data.tokenizer import Tokenizer

_Section = TypeVar("_Section", bound=Section)

METADATA = "TFCONFORMER"
FORMAT = 2
FREE = -1  # a dimension of a shape that differs between calls

# Tensors of a graph that computes a step of a stream.
AUDIO, COUNT, FRAMES = "audio", "count", "frames"
POSITION, RECEIVED = "position", "received"  # states: samples that went through, and how many of them were valid


# Sizes and counts. A larger number is damage: no file has so many bytes, and no tensor so many elements.
Count = Annotated[int, Field(ge=0, le=2**40, strict=True)]
Samples = Annotated[int, Field(ge=0, le=2**24, strict=True)]  # a quarter of an hour at 16 kHz
Decibels = Annotated[float, Field(ge=-1000, le=1000)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TensorDescription(_Record):
    """A tensor of a graph.

    Attributes:
      name: name within the signature.
      shape: dimensions, -1 for those that differ between calls.
      dtype: type of its numbers.
    """

    name: str
    shape: tuple[Annotated[int, Field(ge=FREE, lt=2**31, strict=True)], ...] = Field(max_length=8)
    dtype: Literal["float32", "int32"]

    @property
    def bytes(self) -> int:
        """Size of the content in bytes, of a tensor without free dimensions."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def accepts(self, shape: tuple[int, ...], dtype: str) -> bool:
        """Returns True if an array of that shape and type fits this tensor."""
        if len(shape) != len(self.shape) or dtype != self.dtype:
            return False
        return all(described in (FREE, actual) for described, actual in zip(self.shape, shape, strict=True))

    def __str__(self) -> str:
        """Returns type and shape in readable form: "float32 [1, 640]"."""
        return show_tensor(self.shape, self.dtype)


class StreamDescription(_Record):
    """The protocol of a graph that takes audio in steps.

    A stream begins with all states zero. Every call takes the next `step_samples` samples, `count` = `step_samples`,
    and the states. It returns the outputs of `step_samples / frame_samples` frames, the number of `frames` that the
    utterance has so far, and every state under the name of the input to which the next call passes it. At the end of
    the utterance the rest, padded with zeros, goes into the signature `flush_signature`, which calls the same graph,
    with `count` set to its valid samples, and then `flush_samples` zeros with `count` 0, in steps.

    Attributes:
      sample_rate: sample rate of the audio in Hz.
      step_samples: samples per step.
      frame_samples: samples per output frame; divides `step_samples`.
      delay_frames: frames by which the outputs lag: after n steps, frames up to
        n step_samples / frame_samples - delay_frames are out.
      flush_samples: samples that must follow the last one until all frames are out; a multiple of `step_samples`.
      flush_signature: second signature of the graph.
    """

    sample_rate: Annotated[Samples, Field(gt=0)]
    step_samples: Annotated[Samples, Field(gt=0)]
    frame_samples: Annotated[Samples, Field(gt=0)]
    delay_frames: Samples
    flush_samples: Samples
    flush_signature: str

    @model_validator(mode="after")
    def _consistent(self) -> StreamDescription:
        if self.step_samples % self.frame_samples or self.flush_samples % self.step_samples:
            raise ValueError("a step holds whole frames, and a flush whole steps")
        return self

    @property
    def delay_seconds(self) -> float:
        """Longest time in seconds from the beginning of a frame to its output: the length of a step plus the delay."""
        return (self.step_samples + self.delay_frames * self.frame_samples) / self.sample_rate

    @property
    def step_frames(self) -> int:
        """Output frames per step."""
        return self.step_samples // self.frame_samples


class GraphDescription(_Record):
    """A graph of the file.

    Attributes:
      signature: name of the signature that calls the graph.
      inputs, outputs: tensors that are no states.
      states: tensors that are inputs and outputs; zero at the start.
      stream: protocol of a graph that takes audio in steps; None for others.
    """

    signature: str
    inputs: tuple[TensorDescription, ...]
    outputs: tuple[TensorDescription, ...] = Field(min_length=1)
    states: tuple[TensorDescription, ...] = ()
    stream: StreamDescription | None = None

    @model_validator(mode="after")
    def _consistent(self) -> GraphDescription:
        for names in ([one.name for one in self.all_inputs], [one.name for one in self.all_outputs]):
            if len(set(names)) < len(names):
                raise ValueError("two tensors have the same name")
        if any(FREE in state.shape for state in self.states):
            raise ValueError("a state has a free dimension")
        if self.stream is not None:
            self._check_stream(self.stream)
        return self

    def _check_stream(self, stream: StreamDescription) -> None:
        counters = {state.name for state in self.states if (state.shape, state.dtype) == ((1,), "int32")}
        if not {POSITION, RECEIVED} <= counters:
            raise ValueError(f"there is no int32 state {POSITION!r}, or no {RECEIVED!r}")
        inputs = {tensor.name: str(tensor) for tensor in self.inputs}
        if inputs != {AUDIO: show_tensor((1, stream.step_samples), "float32"), COUNT: show_tensor((1,), "int32")}:
            raise ValueError(f"the inputs of a stream are {AUDIO!r} of step_samples and {COUNT!r}")
        outputs = {tensor.name: (len(tensor.shape), tensor.dtype) for tensor in self.outputs}
        if len(outputs) != 2 or outputs[self.output.name] != (3, "float32") or outputs.get(FRAMES) != (1, "int32"):
            raise ValueError(f"the outputs of a stream are [1, frames, width] and {FRAMES!r}")

    @property
    def output(self) -> TensorDescription:
        """The first output; of the graph from audio, the tensor [1, frames, width] of its frames."""
        return self.outputs[0]

    @property
    def all_inputs(self) -> tuple[TensorDescription, ...]:
        """Inputs and states."""
        return (*self.inputs, *self.states)

    @property
    def all_outputs(self) -> tuple[TensorDescription, ...]:
        """Outputs and states."""
        return (*self.outputs, *self.states)

    @property
    def state_bytes(self) -> int:
        """Size of all states in bytes."""
        return sum(state.bytes for state in self.states)


class TaskDescription(BaseModel):
    """The task of a file: its name, and its own settings as extra fields, such as the `max_symbols` of a transducer.

    Attributes:
      name: name of a task of `tfconformer.tasks`.
      search: name of the search from outputs to labels, "ctc", "transducer" or "tdt", a transducer with durations; None
        if the task has none.
      label_delay_ms: milliseconds by which labels are later than the speech that they stand for, as measured at export;
        None if that was not measured.
      durations: the numbers of frames that the last logits of a transducer choose from; None without durations.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, int | float | str] = Field(init=False)

    name: str
    search: str | None = None
    label_delay_ms: Annotated[int, Field(ge=0, le=60_000, strict=True)] | None = None
    durations: tuple[Annotated[int, Field(strict=True, ge=0, lt=2**16)], ...] | None = Field(None, min_length=1)

    def setting(self, name: str) -> int:
        """Returns a setting that is a number above 0.

        Raises:
          ValueError: it is missing, or something else.
        """
        value = self.__pydantic_extra__.get(name)
        if not isinstance(value, int) or not 0 < value < 2**24:
            raise ValueError(f"task.{name} should be a whole number above 0, got {value!r}")
        return value


@dataclass(frozen=True)
class LayerRecord:
    """One layer that has weights. Attributes that are None are left out of the JSON.

    Attributes:
      name: name of the layer in the Keras model.
      kind: "dense", "convolution", "depthwise", "normalization", "attention" or "embedding"; "table" for a constant in
        place of a layer, such as the projected positions in a streaming file.
      parameters: number of weights and biases.
      float_bytes: size in bytes of those that stay in float32.
      k, n: contraction length and output channels of a dense layer, or of a convolution as a GEMM of its windows.
      spec: the spec of a quantized layer, as JSON.
      target: "litert" for a layer in LiteRT's own weight format, "lookup" for an embedding; None for the custom
        operation and for float.
      code_bytes: size in bytes of a packed layer's codes and sparsity indices.
      scale_bytes, offset_bytes: sizes in bytes of its scales and of its float zero points.
      sqnr_db: 10 log10(sum W^2 / sum (W - Wq)^2) of a packed layer; None if W = Wq.
    """

    name: str
    kind: str
    parameters: Count
    float_bytes: Count
    k: Count | None = None
    n: Count | None = None
    spec: dict[str, Any] | None = None
    target: str | None = None
    code_bytes: Count | None = None
    scale_bytes: Count | None = None
    offset_bytes: Count | None = None
    sqnr_db: Decibels | None = None


class _Training(BaseModel):
    """The part of a training's configuration that reports show."""

    seed: Count
    epochs: Count
    steps_per_epoch: Count


class ModelMetadata(_Record):
    """The metadata of an exported file.

    Attributes:
      format: version of the format.
      task: the task of the model.
      method: the quantization method: "qat" for training, "ptq-nearest" or "ptq-gptq" for quantization after it.
      tokenizer_model: a serialized SentencePiece model in base64; None for tasks without text.
      config: the configuration of the training, as JSON.
      layers: a record of every layer with weights.
      graphs: the graphs of the file; the first one takes audio.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    format: Literal[2] = 2
    task: TaskDescription
    method: str = "qat"
    tokenizer_model: str | None = Field(None, alias="tokenizer")
    config: dict[str, Any] = {}
    layers: tuple[LayerRecord, ...] = ()
    graphs: tuple[GraphDescription, ...] = Field(min_length=1)
    _path: str = PrivateAttr("the file")

    @field_validator("layers")
    @classmethod
    def _valid_specs(cls, layers: tuple[LayerRecord, ...]) -> tuple[LayerRecord, ...]:
        for layer in layers:
            if layer.spec is not None:
                try:
                    QuantSpec.model_validate(layer.spec)
                except ValidationError as error:
                    raise ValueError(f"the spec of the layer {layer.name} is wrong: {explain(error)}") from None
        return layers

    @field_validator("config")
    @classmethod
    def _valid_training(cls, config: dict[str, Any]) -> dict[str, Any]:
        if config.get("training") is not None:
            try:
                _Training.model_validate(config["training"])
            except ValidationError as error:
                raise ValueError(f"training: {explain(error)}") from None
        return config

    @model_validator(mode="after")
    def _has_decoder(self) -> ModelMetadata:
        if (self.task.search == "tdt") != (self.task.durations is not None):
            raise ValueError("task.durations are settings of the search 'tdt', and of no other")
        if self.task.search not in ("transducer", "tdt"):
            return self
        width = self.task.setting("vocabulary") + 1 + len(self.task.durations or ())
        self.task.setting("max_symbols")
        graphs = {graph.signature: graph for graph in self.graphs[1:]}
        for signature, ends in _DECODER.items():
            graph = graphs.get(signature)
            groups = () if graph is None else (graph.inputs, graph.outputs, graph.states)
            if tuple({tensor.name for tensor in group} for group in groups) != ends:
                raise ValueError(f"the graph {signature!r} of a transducer is missing, or has other tensors")
        if graphs["join"].output.shape != (1, width):
            raise ValueError(f"the logits of this transducer should be [1, {width}]")
        return self

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> ModelMetadata:
        """Reads the metadata of a file.

        Raises:
          InputError: the file cannot be read or is no complete `.tflite`, or its metadata are missing or wrong; the
            message names the wrong part.
        """
        return cls.parse(os.fspath(path), read_tflite(path))

    @classmethod
    def parse(cls, path: str, file: TfliteFile) -> ModelMetadata:
        """Parses the metadata of a file.

        Args:
          path: the path of the file, for error messages.
          file: its structure, from `read_tflite`.

        Raises:
          InputError: the metadata are missing, or are not those of `tfconformer export`; the message names the wrong
            part.
        """
        if METADATA not in file.metadata:
            raise InputError(f"{path}: it has no {METADATA} metadata, so it was not written by `tfconformer export`")
        try:
            tree = strict_json.loads(file.metadata[METADATA])
        except ValueError as error:
            raise InputError(f"{path}: its {METADATA} metadata are not JSON ({error})") from error
        if not isinstance(tree, dict):
            raise InputError(f"{path}: its {METADATA} metadata should be a JSON object")
        version = tree.get("format")
        if not isinstance(version, int) or version not in (1, FORMAT):
            raise InputError(f"{path}: its {METADATA} metadata have the format {version!r}, expected 1 or {FORMAT}")
        try:
            metadata = cls.model_validate(_from_version_1(tree) if version == 1 else tree)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise InputError(
                f"{path}: {where} in its {METADATA} metadata: {first['msg'].removeprefix('Value error, ')}"
            ) from None
        except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
            raise InputError(f"{path}: its {METADATA} metadata of version 1 are incomplete ({error})") from None
        metadata._path = path
        return metadata

    def to_json(self) -> bytes:
        """Returns the content of the metadata entry."""
        tree = self.model_dump(mode="json", by_alias=True, exclude={"config", "layers"}, exclude_none=True)
        # Nulls within configurations and specs are values of their keys.
        tree["config"] = self.config
        tree["layers"] = [
            {key: value for key, value in asdict(layer).items() if value is not None} for layer in self.layers
        ]
        return json.dumps(tree, separators=(",", ":"), allow_nan=False).encode("utf-8")

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the labels.

        Raises:
          InputError: the metadata have no tokenizer, or a damaged one.
        """
        # A process that only runs the model does without SentencePiece.
        from tfconformer.data.tokenizer import Tokenizer

        if self.tokenizer_model is None:
            raise InputError(f"{self._path}: its {METADATA} metadata lack a tokenizer")
        try:
            return Tokenizer.from_bytes(base64.b64decode(self.tokenizer_model, validate=True))
        except (ValueError, InputError) as error:
            raise InputError(f"{self._path}: the tokenizer in its {METADATA} metadata is damaged ({error})") from None

    def text(self, labels: Sequence[int]) -> str:
        """Returns the text of labels.

        Raises:
          InputError: there is no tokenizer, or a label is none of its tokens.
        """
        try:
            return self.tokenizer.decode(labels)
        except ValueError as error:
            raise InputError(f"{self._path}: its tokenizer is that of another model: {error}") from None

    def words(self, labels: Sequence[int]) -> list[tuple[str, range]]:
        """Splits labels into words: the text of each, and the positions of its labels.

        Raises:
          InputError: see `text`.
        """
        try:
            return self.tokenizer.words(labels)
        except ValueError as error:
            raise InputError(f"{self._path}: its tokenizer is that of another model: {error}") from None

    @property
    def frame_seconds(self) -> float:
        """Length in seconds of a frame of the graph from audio.

        Raises:
          InputError: the front end or the model are missing in the configuration of the training, or not valid.
        """
        stream = self.graphs[0].stream
        if stream is not None:
            return stream.frame_samples / stream.sample_rate
        return self.model.encoder_stride * self.features.frame_step / self.features.sample_rate

    @cached_property
    def features(self) -> FeatureConfig:
        """The configuration of the log-mel front end.

        Raises:
          InputError: the section is missing in the configuration of the training, or is not valid.
        """
        return self._section("features", FeatureConfig)

    @cached_property
    def model(self) -> ModelConfig:
        """The configuration of the model.

        Raises:
          InputError: see `features`.
        """
        return self._section("model", ModelConfig)

    def _section(self, name: str, kind: type[_Section]) -> _Section:
        """Returns a section of the configuration of the training.

        Raises:
          InputError: the section is missing or not valid.
        """
        try:
            return kind.model_validate(self.config[name])
        except (KeyError, ValidationError) as error:
            reason = "it is missing" if isinstance(error, KeyError) else error.errors()[0]["msg"]
            raise InputError(f"{self._path}: config.{name} in its {METADATA} metadata: {reason}") from None


# Inputs, outputs and states of the step graphs of a transducer.
_DECODER: dict[str, tuple[set[str], ...]] = {
    "predict": ({"label"}, {"prediction"}, {"state"}),
    "join": ({"encoding", "prediction"}, {"logits"}, set()),
}


def encode_tokenizer(model: bytes) -> str:
    """Returns a serialized SentencePiece model in base64, the form in the metadata."""
    return base64.b64encode(model).decode("ascii")


def show_tensor(shape: tuple[int, ...], dtype: str) -> str:
    """Returns type and shape in readable form: "float32 [1, 640]"."""
    return f"{dtype} {list(shape)}"


def _from_version_1(tree: dict[str, Any]) -> dict[str, Any]:
    """Converts metadata of version 1, which had one description of streams and one of a transducer's decoder."""
    tree = dict(tree)
    stream, transducer = tree.pop("streaming", None), tree.pop("transducer", None)
    output = "logits" if transducer is None else "encoded"
    if stream is None:
        signature = "transcribe" if transducer is None else "encode"
        first = {"signature": signature, "inputs": [_tensor("waveform", [1, FREE])], "outputs": [_frames(output, FREE)]}
    else:
        first = _stream_of_version_1(dict(stream), output)
    task: dict[str, Any] = {"name": "recognition_ctc", "search": "ctc"}
    graphs = [first]
    if transducer is not None:
        joint, vocabulary, max_symbols = (transducer[key] for key in ("joint", "vocabulary", "max_symbols"))
        task = {"name": "recognition_transducer", "search": "transducer", "vocabulary": vocabulary}
        task["max_symbols"] = max_symbols
        vector = [1, joint]
        graphs.append(
            {
                "signature": "predict",
                "inputs": [_tensor("label", [1], "int32")],
                "outputs": [_tensor("prediction", vector)],
                "states": [_tensor("state", transducer["state"])],
            }
        )
        graphs.append(
            {
                "signature": "join",
                "inputs": [_tensor("encoding", vector), _tensor("prediction", vector)],
                "outputs": [_tensor("logits", [1, vocabulary + 1])],
            }
        )
    return {**tree, "format": FORMAT, "task": task, "graphs": graphs}


def _stream_of_version_1(stream: dict[str, Any], output: str) -> dict[str, Any]:
    states = stream.pop("states")
    stream.pop("output", None)
    frames = stream["step_samples"] // stream["frame_samples"]
    return {
        "signature": "encode_step",
        "inputs": [_tensor(AUDIO, [1, stream["step_samples"]]), _tensor(COUNT, [1], "int32")],
        "outputs": [_frames(output, frames), _tensor(FRAMES, [1], "int32")],
        "states": states,
        "stream": {**stream, "flush_signature": "flush"},
    }


def _frames(name: str, count: int) -> dict[str, Any]:
    return _tensor(name, [1, count, FREE])


def _tensor(name: str, shape: Any, dtype: str = "float32") -> dict[str, Any]:
    return {"name": name, "shape": shape, "dtype": dtype}
