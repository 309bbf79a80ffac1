"""The reference of a model: its outputs on this machine, in a small file beside it, for a phone to compare with.

    python -m android_bench.reference models/int4.tflite speech.wav

writes `models/int4.reference`: one utterance, what the model makes of it in a desktop runtime, and the tolerance for
another runtime. That is the logits or encodings of a recognizer, and the converted speech of a model of conversion.
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

from converters.runtime.conversion import CONVERSION
from converters.runtime.model import RUNTIMES, SpeechModel, open_model
from converters.streaming.online_converter import OnlineConverter
from tfconformer import atomic
from tfconformer.commands.numbers import Finite
from tfconformer.errors import InputError

MAGIC = b"TFCREF01"
_HEADER = struct.Struct("<8s32sfIII")
# Root mean square of the differences of two runtimes' logits over that of the logits. With float activations only the
# order of float32 sums differs and the last bit of functions like exp: 4e-7 was measured between ai-edge-litert 2.3 on
# x86-64 and TFLite 2.14 on arm64, and a longer utterance may cost a digit or two. Every layer rounds 8-bit activations,
# and one runtime may round a value close to a half up, the other down.
TOLERANCE = {0: 1e-4, 8: 0.05}
# The same of converted speech with float activations: every step of decoder and vocoder begins with the states of the
# one before, and the phase of the voice adds up the differences of its pitch. Between ai-edge-litert 2.3 on x86-64
# and TFLite 2.14 on arm64 it was 8e-4 for 8 s of speech of a random model and 1.2e-3 for 4.4 s of a trained one, whose
# differences grow with time.
SPEECH_TOLERANCE = 0.01


@dataclass(frozen=True)
class Reference:
    """An utterance and a model's output for it.

    Attributes:
      model_sha256: digest of the `.tflite` file, 32 bytes.
      tolerance: largest accepted relative root mean square of differences of the output.
      waveform: float32 [samples] in [-1, 1].
      output: float32 [frames, columns]: logits, encodings of a transducer, or speech in rows of a hop.
    """

    model_sha256: bytes
    tolerance: float
    waveform: NDArray[np.float32]
    output: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """Returns the content of a reference file."""
        sizes = (self.waveform.size, *self.output.shape)
        header = _HEADER.pack(MAGIC, self.model_sha256, self.tolerance, *sizes)
        return header + b"".join(values.astype("<f4").tobytes() for values in (self.waveform, self.output))


def reference_path(model: Path) -> Path:
    """Returns the path of a model's reference."""
    return model.with_suffix(".reference")


def write_reference(model: Path, waveform: NDArray[np.float32], runtime: str = "ai-edge-litert") -> Path:
    """Computes the reference of an exported model and writes it beside the model.

    Args:
      model: the `.tflite` file.
      waveform: an utterance [samples] in [-1, 1].
      runtime: one of `converters.runtime.model.RUNTIMES`.

    Raises:
      InputError: the model cannot be opened or run, is neither a recognizer nor one of conversion, or makes nothing
        that could be compared.
    """
    opened = open_model(model, runtime)
    samples = np.ascontiguousarray(waveform, np.float32)
    activations = max(_activation_bits(opened))
    if opened.metadata.task.name == CONVERSION:
        if activations:
            raise InputError(f"{model}: rounded activations shift the phase of speech, which then cannot be compared")
        output, tolerance = _converted(model, samples, runtime), SPEECH_TOLERANCE
    elif opened.metadata.task.search is None:
        name = opened.metadata.task.name
        raise InputError(f"{model}: the benchmark runs recognizers and conversions, the task of this one is {name}")
    else:
        output, tolerance = opened.run(samples), TOLERANCE[activations]
    digest = hashlib.sha256(model.read_bytes()).digest()
    path = reference_path(model)
    atomic.write_bytes(path, Reference(digest, tolerance, samples, output).to_bytes())
    return path


def _activation_bits(model: SpeechModel) -> set[int]:
    """Returns the bits of the activations of all layers, of which 0 means float."""
    specs = [layer.spec for layer in model.metadata.layers]
    return {0, *(spec.get("activation_bits") or 0 for spec in specs if spec)}


def _converted(model: Path, samples: NDArray[np.float32], runtime: str) -> NDArray[np.float32]:
    """Returns the speech [frames, hop] that a model makes of an utterance."""
    converter = OnlineConverter(model, runtime)
    converter.accept_waveform(converter.sample_rate, samples)
    converter.input_finished()
    converter.convert()
    speech = converter.read_audio()
    if not len(speech):
        raise InputError(f"{model}: nothing is said in the utterance, so that it makes no speech to compare")
    return speech.reshape(-1, converter.model.metadata.task.setting("hop"))


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
