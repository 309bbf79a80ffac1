"""Results files: every number this project prints comes from one, and every one has the same keys.

    results = read_results("build/demo/report.json")
    for row in results.rows:
        print(row.model, row.test_set, row.wer)

A file says which command measured its rows, at which commit, when, and on which machine. A row is flat; a key is left
out where it has no meaning, and never renamed. Tables, plots and the README are rendered from these files alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tfconformer import atomic
from tfconformer.errors import InputError


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ResultRow(_Record):
    """One measurement.

    Attributes of what was measured:
      model: name of the model, unique within a report ("float32", "int4", ...).
      parameters: trainable and other weights, counted.
      weight_bits, activation_bits: 32 means float.
      symmetric, granularity, block_size, clip: as in `QuantSpec`; "block" is sub-channel.
      sparsity: "2:4" and the like.
      method: "qat" (fine-tuned quantized), "ptq-nearest", "ptq-gptq" (quantized without training), "float".
      seed, steps, learning_rate: of the training that made it, or of the fine-tuning of a float model.
      data: hash of the training shards, see `experiments.data_hash`.
    Accuracy:
      test_set, utterances, words: what was scored; skipped: utterances that could not be used.
      wer, wer_low, wer_high: fraction and 95 % bootstrap interval; substitutions, deletions, insertions: counts.
      wer_difference, wer_difference_low, wer_difference_high: WER minus that of the float32 model on the same
        utterances, with the interval of a paired bootstrap.
      evaluated_with: what ran, the exported file or the training-side model.
    Cost:
      file_bytes: the whole file. weight_bytes, bits_per_weight: the weights of the layers that can be quantized, their
        scales and offsets included.
      float_ratio: file_bytes of the float32 model over file_bytes.
      rtf_p50, rtf_p90: compute seconds per second of audio, over utterances; latency_ms_p50, latency_ms_p90: compute
        time of an utterance.
      peak_rss_mb: high-water mark of the resident memory, in 10^6 bytes, of a process that only runs the model.
      runtime: name and version; kernel: what multiplies the quantized weights; threads.
    Streams:
      chunk_ms: audio in a chunk of attention, which is a step; lookahead_ms: how far its first frame looks ahead, and
        the delay of the logits, if any. state_bytes: what goes from one step to the next.
      first_token_ms_p50, first_token_ms_p90: from the onset of speech (the first 10 ms within 30 dB of the loudest)
        until the first piece of text is out, waiting for its step and computing it. finalization_ms_p50,
        finalization_ms_p90: computing after the last sample of an utterance.
      step_ms_p50, step_ms_p90: computing of a step; step_time_ratio: its median over that of the float model in the
        same interleaved run.
      relative_rms, max_abs_difference: differences of the logits from those of the file for whole utterances, relative
        to these, and at most; different_transcripts: utterances.
      audio_seconds: length of a stream; rss_growth_mb: of the process, from its first minutes to its end.
    Kernel benchmarks:
      implementation: ours, or the peer's name and version; k, n, m: sizes of [m, k] x [k, n].
      weights_rotated_mb: size of the set of weights that the benchmark goes round, so that caches stay cold.
      time_us, gops (10^9 multiplications and additions a second), limit_fraction (of what the machine could do).
      isa: instruction set; instructions: executed, and of these product_instructions that each add up several products.
    Cost of training:
      step_ms_p50: CPU time of a step, median over rounds; step_ratio, step_ratio_low, step_ratio_high: over that of the
        float step in the same round, median and quartiles.
    """

    model: str | None = None
    parameters: int | None = Field(None, ge=0)
    weight_bits: int | None = Field(None, ge=1, le=32)
    activation_bits: int | None = Field(None, ge=1, le=32)
    symmetric: bool | None = None
    granularity: Literal["channel", "block", "tensor"] | None = None
    block_size: int | None = Field(None, gt=0)
    clip: float | None = Field(None, gt=0, le=1)
    sparsity: str | None = None
    method: str | None = None
    seed: int | None = None
    steps: int | None = Field(None, ge=0)
    learning_rate: float | None = Field(None, gt=0)
    data: str | None = None

    test_set: str | None = None
    utterances: int | None = Field(None, ge=0)
    words: int | None = Field(None, ge=0)
    skipped: int | None = Field(None, ge=0)
    wer: float | None = Field(None, ge=0)
    wer_low: float | None = Field(None, ge=0)
    wer_high: float | None = Field(None, ge=0)
    substitutions: int | None = Field(None, ge=0)
    deletions: int | None = Field(None, ge=0)
    insertions: int | None = Field(None, ge=0)
    wer_difference: float | None = None
    wer_difference_low: float | None = None
    wer_difference_high: float | None = None
    evaluated_with: Literal["tflite", "keras"] | None = None

    file_bytes: int | None = Field(None, ge=0)
    weight_bytes: int | None = Field(None, ge=0)
    bits_per_weight: float | None = Field(None, ge=0)
    float_ratio: float | None = Field(None, ge=0)
    rtf_p50: float | None = Field(None, ge=0)
    rtf_p90: float | None = Field(None, ge=0)
    latency_ms_p50: float | None = Field(None, ge=0)
    latency_ms_p90: float | None = Field(None, ge=0)
    peak_rss_mb: float | None = Field(None, ge=0)
    runtime: str | None = None
    kernel: str | None = None
    threads: int | None = Field(None, ge=1)

    chunk_ms: float | None = Field(None, gt=0)
    lookahead_ms: float | None = Field(None, ge=0)
    state_bytes: int | None = Field(None, ge=0)
    first_token_ms_p50: float | None = None
    first_token_ms_p90: float | None = None
    finalization_ms_p50: float | None = Field(None, ge=0)
    finalization_ms_p90: float | None = Field(None, ge=0)
    step_ms_p50: float | None = Field(None, ge=0)
    step_ms_p90: float | None = Field(None, ge=0)
    step_time_ratio: float | None = Field(None, ge=0)
    relative_rms: float | None = Field(None, ge=0)
    max_abs_difference: float | None = Field(None, ge=0)
    different_transcripts: int | None = Field(None, ge=0)
    audio_seconds: float | None = Field(None, ge=0)
    rss_growth_mb: float | None = None

    implementation: str | None = None
    k: int | None = Field(None, gt=0)
    n: int | None = Field(None, gt=0)
    m: int | None = Field(None, gt=0)
    weights_rotated_mb: float | None = Field(None, ge=0)
    time_us: float | None = Field(None, ge=0)
    gops: float | None = Field(None, ge=0)
    limit_fraction: float | None = Field(None, ge=0)
    isa: str | None = None
    instructions: int | None = Field(None, ge=0)
    product_instructions: int | None = Field(None, ge=0)

    step_ratio: float | None = Field(None, ge=0)
    step_ratio_low: float | None = Field(None, ge=0)
    step_ratio_high: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _names_its_subject(self) -> ResultRow:
        if self.model is None and self.implementation is None:
            raise ValueError("a row needs 'model' or 'implementation'")
        return self


class Machine(_Record):
    """Where the rows were measured: CPU model, cores, and what a container allows of them."""

    cpu: str
    cores: int = Field(gt=0)
    limits: str


class LayerError(_Record):
    """Signal to quantization noise of one layer's weights: 10 log10(sum W^2 / sum (W - Wq)^2), in dB."""

    model: str
    layer: str
    sqnr_db: float


class Stage(_Record):
    """Wall-clock time of one step of the pipeline."""

    name: str
    seconds: float = Field(ge=0)


class Transcript(_Record):
    """What a model heard in one utterance."""

    model: str
    test_set: str
    runtime: str
    id: str
    reference: str
    hypothesis: str


class ResultsFile(_Record):
    """Rows and where they come from. A run's report adds layers, stages and transcripts; other files have none."""

    command: str
    commit: str
    date: str
    machine: Machine
    rows: tuple[ResultRow, ...]
    layers: tuple[LayerError, ...] = ()
    stages: tuple[Stage, ...] = ()
    transcripts: tuple[Transcript, ...] = ()


def write_results(path: str | Path, results: ResultsFile) -> None:
    """Writes a results file atomically: UTF-8 JSON, keys in a fixed order, those without a value left out."""
    tree = results.model_dump(mode="json", exclude_none=True)
    tree = {key: value for key, value in tree.items() if value != [] or key == "rows"}
    atomic.write_text(path, json.dumps(tree, indent=2, ensure_ascii=False) + "\n")


def read_results(path: str | Path) -> ResultsFile:
    """Reads a results file.

    Raises:
      InputError: the file cannot be read, is not JSON, or does not keep the contract (the message names the key).
    """
    try:
        content = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the results file {path}: {error}") from None
    try:
        # Through JSON mode, in which strict validation still takes a list for a tuple.
        return ResultsFile.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        where = f"'{key}': " if key else ""
        raise InputError(f"{path} is not a results file: {where}{message}") from None


def merge_results(files: Sequence[ResultsFile]) -> ResultsFile:
    """Joins what several commands measured into one file.

    Raises:
      InputError: there is no file, or they come from different commits or machines: their numbers do not belong
        into one table.
    """
    if not files:
        raise InputError("no results file to report on")
    first, last = files[0], max(files, key=lambda results: results.date)
    for other in files[1:]:
        if (other.commit, other.machine) != (first.commit, first.machine):
            raise InputError(
                "results of different commits or machines cannot be joined: "
                f"{first.commit} on {first.machine.cpu} and {other.commit} on {other.machine.cpu}"
            )
    return ResultsFile(
        command="\n".join(dict.fromkeys(results.command for results in files)),
        commit=first.commit,
        date=last.date,
        machine=first.machine,
        rows=tuple(row for results in files for row in results.rows),
        layers=tuple(dict.fromkeys(layer for results in files for layer in results.layers)),
        stages=tuple(stage for results in files for stage in results.stages),
        transcripts=tuple(transcript for results in files for transcript in results.transcripts),
    )
