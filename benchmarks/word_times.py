"""Times of recognized words beside those of a synthesizer, which knows when it says each word.

    python -m benchmarks.word_times results/word_times.json small=models/small streaming=models/small_streaming

Festival speaks sentences of the test corpus and prints when the sounds of each word begin and end. A model is exported
in float32, as a stream if its attention is limited. Words that it recognizes rightly are compared.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import click
import numpy as np

from converters.exporter.export import export
from converters.runtime.transcribe import Transcriber
from converters.runtime.words import Word
from tfconformer.data.speech.sentences import sentences
from tfconformer.decoding.wer import align
from tfconformer.reports.provenance import results_of_this_process
from tfconformer.reports.results import write_results
from tfconformer.reports.rows import Execution, ResultRow, WordTimes
from tfconformer.training.run import RunDirectory

VOICES = ("kal_diphone", "cmu_us_slt_arctic_hts")

# Prints a line for every word: its name, and the seconds at which its first sound begins and its last one ends.
_SCRIPT = """
(define (speak text wave times)
  (let ((utt (utt.synth (eval (list 'Utterance 'Text text)))) (file (fopen times "w")))
    (utt.save.wave utt wave 'riff)
    (mapcar
      (lambda (word)
        (format file "%s %s %s\\n" (item.name word) (item.feat word "word_start") (item.feat word "word_end")))
      (utt.relation.items utt 'Word))
    (fclose file)))
"""


@dataclass(frozen=True)
class Spoken:
    """A spoken sentence: its audio file, and its words with start and end in seconds."""

    audio: Path
    words: Sequence[tuple[str, float, float]]


def speak(texts: Sequence[str], voice: str, folder: Path) -> list[Spoken]:
    """Speaks sentences, of words of letters alone, into files in a folder."""
    script, stems = [_SCRIPT, f"(voice_{voice})"], [folder / f"{voice}-{index}" for index, _ in enumerate(texts)]
    script += [f'(speak "{text.lower()}" "{stem}.wav" "{stem}.txt")' for text, stem in zip(texts, stems, strict=True)]
    (folder / "speak.scm").write_text("\n".join(script))
    subprocess.run(["festival", "--batch", "speak.scm"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    spoken = []
    for text, stem in zip(texts, stems, strict=True):
        lines = [line.split() for line in stem.with_suffix(".txt").read_text().splitlines()]
        assert [name.upper() for name, _, _ in lines] == text.split(), f"{voice} says other words than {text!r}"
        spoken.append(Spoken(stem.with_suffix(".wav"), [(n.upper(), float(s), float(e)) for n, s, e in lines]))
    return spoken


def differences(spoken: Spoken, recognized: Sequence[Word]) -> list[tuple[float, float]]:
    """Returns how many seconds later than spoken each word that was recognized rightly begins and ends."""
    found: list[tuple[float, float]] = []
    expected, actual = iter(spoken.words), iter(recognized)
    for part in align(" ".join(word for word, _, _ in spoken.words), " ".join(word.text for word in recognized)):
        said, heard = list(islice(expected, len(part.reference))), list(islice(actual, len(part.hypothesis)))
        if part.kind == "equal":
            found += [(h.start - start, h.end - end) for (_, start, end), h in zip(said, heard, strict=True)]
    return found


@click.command()
@click.argument("output", type=click.Path(path_type=Path))
@click.argument("models", nargs=-1, required=True, metavar="NAME=RUN...")
@click.option("--sentences", "count", type=click.IntRange(min=1), default=200, show_default=True, help="In each voice.")
def main(output: Path, models: tuple[str, ...], count: int) -> None:
    """Compare the word times of every model with the synthesizer's, and write a row of each to OUTPUT."""
    corpus = (text for text in sentences("test", random.Random(1)) if text.replace(" ", "").isalpha())
    texts = list(islice(corpus, count))
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spoken = [one for voice in VOICES for one in speak(texts, voice, folder)]
        for model, run in (argument.split("=") for argument in models):
            file = folder / f"{model}.tflite"
            streams = RunDirectory(Path(run)).config().model.left_context is not None
            export(run, file, streaming=streams)
            transcriber = Transcriber(file)
            pairs = [pair for one in spoken for pair in differences(one, transcriber(one.audio).words)]
            row = _row(model, sum(len(one.words) for one in spoken), np.array(pairs))
            click.echo(f"{model}: {row.word_times}")
            rows.append(row)
    write_results(output, results_of_this_process(rows=tuple(rows)))


def _row(model: str, words: int, seconds: np.ndarray) -> ResultRow:
    later_ms, size_ms = 1e3 * seconds, 1e3 * np.abs(seconds)
    columns = {}
    for index, end in enumerate(("start", "end")):
        columns[f"{end}_bias_ms"] = float(np.median(later_ms[:, index]))
        p50, p90 = np.percentile(size_ms[:, index], (50, 90)).tolist()
        columns |= {f"{end}_ms_p50": p50, f"{end}_ms_p90": p90}
    times = WordTimes(spoken=words, recognized=len(seconds), **columns)
    return ResultRow(model=model, word_times=times, execution=Execution(threads=1))


if __name__ == "__main__":
    main()
