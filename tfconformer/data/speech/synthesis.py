"""Text to speech with four free offline engines: espeak-ng, flite, festival and SVOX Pico.

`synthesize` runs all of them. The texts are those of `normalize`, so that no engine has to expand a number or an
abbreviation.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfconformer.data.speech.acoustics import SAMPLE_RATE, Samples, resample
from tfconformer.errors import InputError

_ESPEAK_WORDS_PER_MINUTE = 160
_PICO_SAMPLE_RATE = 16000


@dataclass(frozen=True)
class Voice:
    """A voice of an engine ("espeak-ng", "flite", "festival" or "pico")."""

    engine: str
    name: str

    @property
    def package(self) -> str:
        """The package of the voice, with its version."""
        package = _FESTIVAL_VOICES.get(self.name, self.engine)
        return f"{package} {_version(package)}"

    @property
    def licence(self) -> str:
        """Short name of the licence of the voice (of the program for espeak-ng, whose output it does not cover)."""
        return _LICENCES[self.engine]

    def __str__(self) -> str:
        return f"{self.engine} {self.name}"


_FESTIVAL_VOICES = {
    "kal_diphone": "festvox-kallpc16k",
    "ked_diphone": "festvox-kdlpc16k",
    "cmu_us_slt_arctic_hts": "festvox-us-slt-hts",
}
_LICENCES = {"espeak-ng": "GPL-3.0-or-later", "flite": "CMU-Flite", "festival": "Festvox", "pico": "Apache-2.0"}
_INSTALL = "apt-get install espeak-ng flite festival festvox-us-slt-hts festvox-kallpc16k festvox-kdlpc16k"


def missing(voices: Sequence[Voice]) -> list[str]:
    """Returns the names of the programs and packages that these voices need and that are not installed."""
    return sorted({need for voice in voices if (need := _missing(voice))})


def require(voices: Sequence[Voice]) -> None:
    """Checks that every voice is installed.

    Raises:
      InputError: an engine or a voice is not installed.
    """
    absent = missing(voices)
    if absent:
        raise InputError(f"speech synthesis lacks {', '.join(absent)}; try: {_INSTALL}; pip install ttspico")


def synthesize(voice: Voice, texts: Sequence[str], rate: float = 1.0) -> list[Samples]:
    """Synthesizes each text.

    Args:
      voice: the voice of an engine.
      texts: normalized transcripts.
      rate: speaking rate as a multiple of the voice's own, > 0.

    Returns:
      [samples] float32 at 16 kHz in [-1, 1] for each text, in order.

    Raises:
      InputError: the engine is missing or fails on a text.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            return _ENGINES[voice.engine](voice.name, [text.lower() for text in texts], rate, Path(folder))
        except FileNotFoundError as error:
            raise InputError(f"the speech synthesizer for {voice} is not installed ({error})") from None
        except subprocess.CalledProcessError as error:
            raise InputError(f"{voice} failed: {error}") from None


def _espeak(name: str, texts: list[str], rate: float, folder: Path) -> list[Samples]:
    speed = str(round(_ESPEAK_WORDS_PER_MINUTE * rate))
    return [_spoken(["espeak-ng", "-v", name, "-s", speed, "-w", "speech.wav", text], folder) for text in texts]


def _flite(name: str, texts: list[str], rate: float, folder: Path) -> list[Samples]:
    stretch = f"duration_stretch={1 / rate:.3f}"
    command = ["flite", "-voice", name, "--setf", stretch, "-o", "speech.wav", "-t"]
    return [_spoken([*command, text], folder) for text in texts]


def _festival(name: str, texts: list[str], rate: float, folder: Path) -> list[Samples]:
    # One process for all texts: loading a voice takes longer than speaking a sentence.
    script = [f"(voice_{name})", f"(Parameter.set 'Duration_Stretch {1 / rate:.3f})"]
    paths = [folder / f"{index}.wav" for index in range(len(texts))]
    for text, path in zip(texts, paths, strict=True):
        script.append(f'(utt.save.wave (utt.synth (Utterance Text "{text}")) "{path}" \'riff)')
    (folder / "script.scm").write_text("\n".join(script))
    _run(["festival", "--batch", "script.scm"], folder)
    return [_read(path) for path in paths]


def _pico(name: str, texts: list[str], rate: float, folder: Path) -> list[Samples]:
    import ttspico

    try:
        engine = ttspico.TtsEngine(name)
    except RuntimeError as error:
        languages = Path(sys.prefix) / "languages"
        raise InputError(f"speech synthesis lacks the languages of ttspico in {languages} ({error})") from None
    engine.rate = round(100 * rate)
    spoken = (np.frombuffer(engine.speak(text), np.int16).astype(np.float32) / 32768.0 for text in texts)
    return [resample(samples, _PICO_SAMPLE_RATE, SAMPLE_RATE) for samples in spoken]


_ENGINES = {"espeak-ng": _espeak, "flite": _flite, "festival": _festival, "pico": _pico}


def _spoken(command: list[str], folder: Path) -> Samples:
    _run(command, folder)
    return _read(folder / "speech.wav")


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _read(path: Path) -> Samples:
    import soundfile

    samples, rate = soundfile.read(path, dtype="float32")
    return resample(samples, rate, SAMPLE_RATE)


def _missing(voice: Voice) -> str:
    if voice.engine == "pico":
        return "" if importlib.util.find_spec("ttspico") else "ttspico"
    if shutil.which(voice.engine) is None:
        return voice.engine
    if voice.engine == "festival" and _version(_FESTIVAL_VOICES[voice.name]) == "unknown":
        return _FESTIVAL_VOICES[voice.name]
    return ""


@functools.cache
def _version(package: str) -> str:
    if package == "pico":
        return importlib.metadata.version("ttspico")
    try:
        query = ["dpkg-query", "--show", "--showformat=${Version}", package]
        return subprocess.run(query, check=True, capture_output=True, text=True).stdout or "unknown"
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "unknown"
