"""An exported `.tflite` file: its metadata, and the sizes of its weights, which are measured.

Tokenizer, configuration and layers come from the metadata that export wrote. Sizes do not: every layer of the metadata
must be found in the file's operations, with its shape and scheme, and its bytes are counted there. So a layer that
stayed in float cannot pass for a packed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from converters.flatbuffer.builtin_layers import read_builtin
from converters.flatbuffer.custom_layers import read_packed
from converters.flatbuffer.metadata import LayerRecord, ModelMetadata
from converters.flatbuffer.summary import layer_rows
from tfconformer.config import Config
from tfconformer.errors import InputError, one_line
from tfconformer.quantization.spec import FLOAT_BITS, QuantSpec
from tfconformer.reports.layer_table import FLOAT_BYTES, LayerRow
from tfconformer.reports.rows import Quantization, Size, Training, common
from tfconformer.section import explain


@dataclass(frozen=True)
class Scheme:
    """The part of a `QuantSpec` that an operation of the file stores. The default is float.

    Attributes:
      bits: width of a weight, 32 for float.
      symmetric: True for weights without zero points; None for float.
      block_size: weights per scale along K; None for one scale per output channel, or for float.
      activation_bits: width of the activations; None for float.
      half_integer: True for weights scale * (q + 1/2).
    """

    bits: int = FLOAT_BITS
    symmetric: bool | None = None
    block_size: int | None = None
    activation_bits: int | None = None
    half_integer: bool = False


@dataclass(frozen=True)
class WeightMatrix:
    """A constant matrix of a fully connected operation.

    Attributes:
      name: name of the layer.
      k, n: contraction length and number of output channels.
      scheme: the scheme in which it is stored.
      bytes: its size in bytes, scales, zero points and sparsity indices included.
    """

    name: str
    k: int
    n: int
    scheme: Scheme
    bytes: int


@dataclass(frozen=True)
class ModelFile:
    """An exported model.

    Attributes:
      path: the path of the file.
      file_bytes: its size in bytes.
      metadata: the metadata that export wrote.
      matrices: the weight matrices of its dense layers, in the order of the metadata.
    """

    path: Path
    file_bytes: int
    metadata: ModelMetadata
    matrices: tuple[WeightMatrix, ...]

    @property
    def weight_bytes(self) -> int:
        """Size of all weight matrices in bytes."""
        return sum(matrix.bytes for matrix in self.matrices)

    @property
    def weights(self) -> int:
        """Number of weights in the matrices."""
        return sum(matrix.k * matrix.n for matrix in self.matrices)

    def layer_rows(self) -> list[LayerRow]:
        """Returns the layers as rows of a summary.

        Raises:
          InputError: the configuration in the metadata is not valid in this version.
        """
        try:
            config = Config.model_validate(self.metadata.config)
        except ValidationError as error:
            raise InputError(f"{self.path}: the configuration in its metadata is wrong: {explain(error)}") from None
        if config.model.blocks > len(self.metadata.layers):
            raise InputError(f"{self.path}: the configuration in its metadata has more blocks than the file has layers")
        # Imported here, because everything else about a file can be read without TensorFlow.
        from tfconformer.models.cost import input_rates, macs_per_second
        from tfconformer.training.checkpoint import abstract_model

        try:
            model = abstract_model(config, self.metadata.tokenizer.vocabulary_size)
        except (ValueError, OverflowError, MemoryError) as error:
            reason = one_line(error)
            raise InputError(f"{self.path}: the configuration in its metadata has no model ({reason})") from None
        return layer_rows(self.records, macs_per_second(model, input_rates(config.features, config.model)))

    @property
    def records(self) -> tuple[LayerRecord, ...]:
        """The layers of the metadata, with the measured sizes of their matrices."""
        measured = {matrix.name: matrix for matrix in self.matrices}
        return tuple(
            _measured(layer, measured[layer.name]) if layer.kind == "dense" else layer for layer in self.metadata.layers
        )

    @property
    def parameters(self) -> int:
        """Number of weights of all layers, matrices and others."""
        return sum(layer.parameters for layer in self.records)

    @property
    def size(self) -> Size:
        """The size of the file and of its weight matrices, which include those in float."""
        bits_per_weight = 8 * self.weight_bytes / self.weights if self.weights else None
        return Size(file_bytes=self.file_bytes, weight_bytes=self.weight_bytes, bits_per_weight=bits_per_weight)

    @property
    def training(self) -> Training:
        """The training according to the metadata; the method of a float model is None."""
        training = self.metadata.config.get("training")  # whose numbers were checked with the metadata
        return Training(
            method=self.metadata.method if self._quantized() else None,
            seed=None if training is None else training["seed"],
            steps=None if training is None else training["epochs"] * training["steps_per_epoch"],
        )

    @property
    def quantization(self) -> Quantization:
        """The scheme of the quantized matrices; a property in which they differ is None."""
        schemes = self._quantized()
        if not schemes:
            return Quantization(weight_bits=FLOAT_BITS, activation_bits=FLOAT_BITS)
        specs = [QuantSpec.model_validate(layer.spec) for layer in self.metadata.layers if layer.spec is not None]
        return Quantization(
            weight_bits=common([scheme.bits for scheme in schemes]),
            activation_bits=common([scheme.activation_bits or FLOAT_BITS for scheme in schemes]),
            symmetric=common([scheme.symmetric for scheme in schemes]),
            half_integer=common([scheme.half_integer or None for scheme in schemes]),
            granularity=common([spec.granularity for spec in specs]),
            block_size=common([scheme.block_size for scheme in schemes]),
            sparsity=common([spec.sparsity for spec in specs]),
            # A searched clip is not one number.
            clip=common([spec.clip if isinstance(spec.clip, float) else None for spec in specs]),
        )

    def _quantized(self) -> list[Scheme]:
        return [matrix.scheme for matrix in self.matrices if matrix.scheme != Scheme()]


def read_model_file(path: str | Path) -> ModelFile:
    """Reads an exported model.

    Raises:
      InputError: the file cannot be read, is not a complete `.tflite`, has no metadata of `tfconformer export`, or
        lacks a layer that they describe.
    """
    path = Path(path)
    metadata = ModelMetadata.read(path)
    matrices = _matrices(path, metadata.layers, _stored_matrices(path))
    file = ModelFile(path, path.stat().st_size, metadata, matrices)
    described = sum(
        layer.float_bytes + (layer.code_bytes or 0) + (layer.scale_bytes or 0) + (layer.offset_bytes or 0)
        for layer in file.records
    )
    if described > file.file_bytes:
        raise InputError(f"{path}: its metadata describe {described:,} bytes of weights, it has {file.file_bytes:,}")
    return file


def _measured(layer: LayerRecord, matrix: WeightMatrix) -> LayerRecord:
    """Returns the record of a dense layer with the size of its matrix, and of a bias if its parameters include one."""
    bias = matrix.n if layer.parameters > matrix.k * matrix.n else 0
    parameters = matrix.k * matrix.n + bias
    if layer.spec is None:
        return replace(layer, parameters=parameters, float_bytes=matrix.bytes + FLOAT_BYTES * bias)
    # The metadata say how the bytes divide into codes, scales and zero points; their sum is measured.
    return replace(
        layer,
        parameters=parameters,
        float_bytes=FLOAT_BYTES * bias,
        code_bytes=matrix.bytes,
        scale_bytes=0,
        offset_bytes=0,
    )


def _matrices(path: Path, layers: Sequence[LayerRecord], stored: list[WeightMatrix]) -> tuple[WeightMatrix, ...]:
    """Finds the stored matrix of every dense layer; matrices of no layer, such as the mel filters, are left out."""
    left = list(stored)
    matrices = []
    for layer in layers:
        if layer.kind != "dense":
            continue
        scheme = _scheme(path, layer)
        for matrix in left:
            if (matrix.k, matrix.n, matrix.scheme) == (layer.k, layer.n, scheme):
                left.remove(matrix)
                matrices.append(replace(matrix, name=layer.name))
                break
        else:
            raise InputError(
                f"{path}: its metadata describe the layer {layer.name} as {layer.k} x {layer.n} weights of "
                f"{scheme.bits} bits, but no operation has such weights"
            )
    return tuple(matrices)


def _scheme(path: Path, layer: LayerRecord) -> Scheme:
    if layer.spec is None:
        return Scheme()
    try:
        spec = QuantSpec.model_validate(layer.spec)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise InputError(f"{path}: the spec of the layer {layer.name} in its metadata is wrong: {reason}") from None
    # LiteRT quantizes activations to 8 bits even if training left them in float.
    activation_bits = 8 if layer.target == "litert" else spec.activation_bits
    return Scheme(spec.bits, spec.symmetric, spec.block_size, activation_bits, spec.zero_points == "implied")


def _stored_matrices(path: Path) -> list[WeightMatrix]:
    """Returns the constant matrices of all fully connected operations, this project's and built-in ones."""
    found = []
    for packed in read_packed(path):
        _, bits, symmetric, block_size, k, n, activation_bits, *_ = packed.attributes
        half_integer = packed.attributes.half_integer
        scheme = Scheme(bits, bool(symmetric), block_size or None, activation_bits or None, half_integer)
        found.append(WeightMatrix(packed.name, k, n, scheme, packed.weight_bytes))
    for stored in read_builtin(path):
        # LiteRT quantizes the activations that meet such weights to 8 bits at run time.
        quantized = Scheme(stored.bits, symmetric=True, block_size=stored.block_size, activation_bits=8)
        scheme = quantized if stored.is_quantized else Scheme(stored.bits)
        found.append(WeightMatrix(stored.name, stored.k, stored.n, scheme, stored.weight_bytes))
    return found
