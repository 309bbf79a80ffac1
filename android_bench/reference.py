"""The reference of a model: its outputs on this machine, in a small file beside it, for a phone to compare with.

    python -m android_bench.reference models/int4.tflite speech.wav

writes `models/int4.reference`: one utterance, its logits in a desktop runtime, and the tolerance for another runtime.
The format is described in `native/reference.h`.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from converters.runtime.model import RUNTIMES, SpeechModel, open_model
from tfconformer import atomic
from tfconformer.commands.numbers import Finite
from tfconformer.errors import InputError

MAGIC = b"TFCREF01"
_HEADER = struct.Struct("<8s32sfIII")
# Root mean square of the differences of two runtimes' logits over that of the logits. With float activations only the
# order of float32 sums differs and the last bit of functions like exp: 4e-7 was measured between ai-edge-litert 2.3 on
# x86-64 and TFLite 2.14 on arm64, and a longer utterance may cost a digit or two. Every layer rounds 8-bit activations,
# and one runtime may round a value close to a half up, the other down.
TOLERANCE = {None: 1e-4, 8: 0.05}


@dataclass(frozen=True)
class Reference:
    """An utterance and a model's outputs for it.

    Attributes:
      model_sha256: digest of the `.tflite` file, 32 bytes.
      tolerance: largest accepted relative root mean square of differences of logits.
      waveform: float32 [samples] in [-1, 1].
      logits: float32 [frames, columns].
    """

    model_sha256: bytes
    tolerance: float
    waveform: NDArray[np.float32]
    logits: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """Returns the content of a reference file."""
        sizes = (self.waveform.size, *self.logits.shape)
        header = _HEADER.pack(MAGIC, self.model_sha256, self.tolerance, *sizes)
        return header + b"".join(values.astype("<f4").tobytes() for values in (self.waveform, self.logits))


def reference_path(model: Path) -> Path:
    """Returns the path of a model's reference."""
    return model.with_suffix(".reference")


def write_reference(model: Path, waveform: NDArray[np.float32], runtime: str = "ai-edge-litert") -> Path:
    """Computes the reference of an exported recognizer and writes it beside the model.

    Args:
      model: the `.tflite` file.
      waveform: an utterance [samples] in [-1, 1].
      runtime: one of `converters.runtime.model.RUNTIMES`.

    Raises:
      InputError: the model cannot be opened or run, or has several graphs.
    """
    opened = open_model(model, runtime)
    if len(opened.metadata.graphs) > 1:
        names = ", ".join(graph.signature for graph in opened.metadata.graphs)
        raise InputError(f"{model}: the benchmark runs models of one graph, this one has {names}")
    samples = np.ascontiguousarray(waveform, np.float32)
    digest = hashlib.sha256(model.read_bytes()).digest()
    path = reference_path(model)
    atomic.write_bytes(path, Reference(digest, _tolerance(opened), samples, opened.run(samples)).to_bytes())
    return path


def _tolerance(model: SpeechModel) -> float:
    specs = [layer.spec for layer in model.metadata.layers]
    return max(TOLERANCE[bits] for bits in {None, *(spec.get("activation_bits") for spec in specs if spec)})


def read_speech(path: Path, model: Path, seconds: float = 3) -> NDArray[np.float32]:
    """Reads the beginning of an audio file at a model's sample rate.

    Raises:
      InputError: the file cannot be read, has several channels or another sample rate than the model.
    """
    import soundfile

    try:
        waveform, sample_rate = soundfile.read(path, dtype="float32")
    except (OSError, soundfile.LibsndfileError) as error:
        raise InputError(f"{path}: it cannot be read as audio ({error})") from error
    expected = open_model(model).metadata.features.sample_rate
    if waveform.ndim != 1 or sample_rate != expected:
        raise InputError(
            f"{path}: expected one channel of {expected} samples a second, got {waveform.shape} of {sample_rate}"
        )
    return waveform[: int(seconds * sample_rate)]


@click.command(help=__doc__)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("speech", type=click.Path(path_type=Path))
@click.option("--seconds", type=Finite(min=0, min_open=True), default=3, show_default=True)
@click.option("--runtime", type=click.Choice(RUNTIMES), default="ai-edge-litert", show_default=True)
def main(model: Path, speech: Path, seconds: float, runtime: str) -> None:
    """Writes a reference; SPEECH is an audio file whose beginning is used."""
    click.echo(write_reference(model, read_speech(speech, model, seconds), runtime))


if __name__ == "__main__":
    main()
