"""Rows of a results file: what was measured, in records by subject.

A row is composed in Python and flat in JSON: the columns of its records stand side by side, in the order of the
fields below, and a column without a value is left out. `row.accuracy.wer` is the key "wer" of the row.

Records whose columns may be missing one by one (`Quantization`, `Training`, `Size`, `Speed`, `Execution`) are always
there; all others are None where they were not measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)

from tfconformer.decoding.wer import WordErrors
from tfconformer.quantization.spec import FLOAT_BITS, QuantSpec

# Keys of files that were written before a column was renamed -> its name.
_RENAMED = {"weights_rotated_mb": "working_set_mb"}


class Record(BaseModel):
    """An immutable part of a results file; it refuses unknown keys, other types, NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Columns(Record):
    """Columns of a row that belong together."""


class Quantization(Columns):
    """The storage of the weights of a model or a layer; a column in which its layers differ is None.

    Attributes:
      weight_bits, activation_bits: 32 means float.
      symmetric, granularity, block_size, clip, sparsity: as in `QuantSpec`; the granularity "block" is sub-channel.
      half_integer: True for weights scale * (q + 1/2), left out for others.
    """

    weight_bits: int | None = Field(None, ge=1, le=32)
    activation_bits: int | None = Field(None, ge=1, le=32)
    symmetric: bool | None = None
    half_integer: Literal[True] | None = None
    granularity: Literal["channel", "block", "tensor"] | None = None
    block_size: int | None = Field(None, gt=0)
    clip: float | None = Field(None, gt=0, le=1)
    sparsity: str | None = None

    @classmethod
    def of_spec(cls, spec: QuantSpec, activation_bits: int | None = None) -> Quantization:
        """Describes weights that are stored by `spec`; `activation_bits` are those of the runtime, if known."""
        return cls(
            weight_bits=spec.bits,
            activation_bits=activation_bits,
            symmetric=spec.symmetric,
            half_integer=spec.zero_points == "implied" or None,
            granularity=spec.granularity,
            block_size=spec.block_size,
            sparsity=spec.sparsity,
        )

    @property
    def is_float(self) -> bool:
        """True for a model without any quantization."""
        return self.weight_bits == FLOAT_BITS and self.activation_bits in (None, FLOAT_BITS)


class Training(Columns):
    """The origin of the weights.

    Attributes:
      method: "qat" (fine-tuned quantized), "ptq-nearest", "ptq-gptq" (quantized without training), "float".
      seed, steps, learning_rate: of the training, or of the fine-tuning of a float model.
      data: hash of the training shards, see `converters.experiments.grid.data_hash`.
    """

    method: str | None = None
    seed: int | None = None
    steps: int | None = Field(None, ge=0)
    learning_rate: float | None = Field(None, gt=0)
    data: str | None = None


class Accuracy(Columns):
    """Word errors on a test set.

    Attributes:
      test_set: its name.
      utterances, words: number of those that were scored; skipped: number of utterances that could not be used.
      wer, wer_low, wer_high: fraction and 95 % bootstrap interval.
      substitutions, deletions, insertions: counts.
      wer_difference, wer_difference_low, wer_difference_high: WER minus that of the baseline on the same utterances,
        with the interval of a paired bootstrap.
      evaluated_with: the exported file ("tflite") or the model as it trains ("keras").
    """

    test_set: str
    utterances: int = Field(ge=0)
    words: int = Field(ge=0)
    skipped: int | None = Field(None, ge=0)
    wer: float = Field(ge=0)
    wer_low: float = Field(ge=0)
    wer_high: float = Field(ge=0)
    substitutions: int = Field(ge=0)
    deletions: int = Field(ge=0)
    insertions: int = Field(ge=0)
    wer_difference: float | None = None
    wer_difference_low: float | None = None
    wer_difference_high: float | None = None
    evaluated_with: Literal["tflite", "keras"]

    @classmethod
    def of_errors(
        cls,
        test_set: str,
        errors: WordErrors,
        evaluated_with: Literal["tflite", "keras"] = "tflite",
        skipped: int | None = None,
    ) -> Accuracy:
        """Names the test set and the way of the word errors."""
        return cls(
            test_set=test_set,
            utterances=errors.utterances,
            words=errors.words,
            skipped=skipped,
            wer=errors.wer,
            wer_low=errors.wer_low,
            wer_high=errors.wer_high,
            substitutions=errors.substitutions,
            deletions=errors.deletions,
            insertions=errors.insertions,
            evaluated_with=evaluated_with,
        )


class Size(Columns):
    """Bytes of an exported model.

    Attributes:
      file_bytes: the whole file.
      weight_bytes, bits_per_weight: of the layers that can be quantized, their scales and zero points included.
      float_ratio: file_bytes of the float model over file_bytes.
    """

    file_bytes: int | None = Field(None, ge=0)
    weight_bytes: int | None = Field(None, ge=0)
    bits_per_weight: float | None = Field(None, ge=0)
    float_ratio: float | None = Field(None, ge=0)


class Speed(Columns):
    """Compute time of whole utterances, median and ninetieth percentile over the utterances.

    Attributes:
      rtf_p50, rtf_p90: compute seconds per second of audio.
      latency_ms_p50, latency_ms_p90: compute time of an utterance.
    """

    rtf_p50: float | None = Field(None, ge=0)
    rtf_p90: float | None = Field(None, ge=0)
    latency_ms_p50: float | None = Field(None, ge=0)
    latency_ms_p90: float | None = Field(None, ge=0)

    @classmethod
    def of_utterances(cls, compute_seconds: ArrayLike, audio_seconds: ArrayLike) -> Speed:
        """Summarizes the compute times and the lengths of utterances, two sequences of equal length."""
        seconds = np.asarray(compute_seconds)
        rtf_p50, rtf_p90 = percentiles(seconds / np.asarray(audio_seconds))
        latency_p50, latency_p90 = (1e3 * value for value in percentiles(seconds))
        return cls(rtf_p50=rtf_p50, rtf_p90=rtf_p90, latency_ms_p50=latency_p50, latency_ms_p90=latency_p90)


class ConversionSpeed(Columns):
    """Compute seconds of the components of a model of conversion per second of audio, over the utterances.

    Attributes:
      encoder_rtf_p50, decoder_rtf_p50, vocoder_rtf_p50: median.
      encoder_rtf_p90, decoder_rtf_p90, vocoder_rtf_p90: ninetieth percentile.
    """

    encoder_rtf_p50: float = Field(ge=0)
    encoder_rtf_p90: float = Field(ge=0)
    decoder_rtf_p50: float = Field(ge=0)
    decoder_rtf_p90: float = Field(ge=0)
    vocoder_rtf_p50: float = Field(ge=0)
    vocoder_rtf_p90: float = Field(ge=0)


class Execution(Columns):
    """The process that ran the model.

    Attributes:
      peak_rss_mb: high-water mark of its resident memory, in 10^6 bytes; it ran the model and nothing else.
      runtime: name and version.
      kernel: name of the implementation that multiplied the quantized weights.
      threads: number of threads of the runtime.
    """

    peak_rss_mb: float | None = Field(None, ge=0)
    runtime: str | None = None
    kernel: str | None = None
    threads: int | None = Field(None, ge=1)


class GeneratedSpeech(Columns):
    """Speech that a system made, beside its word errors, which are those of an independent recognizer.

    Attributes:
      cer: character errors of that recognizer, a fraction.
      mos: overall quality as a network rates it (DNSMOS P.835), about 1 to 5, the mean over the utterances.
      pitch_rmse_cents: root mean square error of the fundamental frequency in hundredths of a semitone, over the frames
        in which speech and target both have a voice; None of what should not be the target frame by frame.
      voicing_error: share of frames of which only one of the two has a voice, likewise.
      stopped: share of utterances whose decoder ended by itself; None without a decoder.
      length_ratio_p10, length_ratio_p50, length_ratio_p90: length over that of the target voice; None without one.
      lag_ms: time by which a stream's decoder begins behind the speaker; None if after the end of the utterance.
      first_sound_ms_p50, first_sound_ms_p90: in a stream, from the onset of the source's speech to that of the
        generated speech, compute time of this machine included; None of what is no stream.
      rest_ms_p50, rest_ms_p90: likewise from the end of the source's speech to that of the generated speech.
    """

    cer: float = Field(ge=0)
    mos: float | None = None
    pitch_rmse_cents: float | None = Field(None, ge=0)
    voicing_error: float | None = Field(None, ge=0, le=1)
    stopped: float | None = Field(None, ge=0, le=1)
    length_ratio_p10: float | None = Field(None, ge=0)
    length_ratio_p50: float | None = Field(None, ge=0)
    length_ratio_p90: float | None = Field(None, ge=0)
    lag_ms: float | None = Field(None, gt=0)
    first_sound_ms_p50: float | None = None
    first_sound_ms_p90: float | None = None
    rest_ms_p50: float | None = None
    rest_ms_p90: float | None = None


class Stream(Columns):
    """The steps of a stream.

    Attributes:
      chunk_ms: audio in a chunk of attention, which is a step.
      lookahead_ms: audio after the first frame of a chunk that its output depends on, the delay of outputs included.
      state_bytes: size of the state that one step passes to the next.
    """

    chunk_ms: float = Field(gt=0)
    lookahead_ms: float | None = Field(None, ge=0)
    state_bytes: int | None = Field(None, ge=0)


class Responsiveness(Columns):
    """Times until a stream shows text, median and ninetieth percentile over the utterances.

    Attributes:
      first_token_ms_p50, first_token_ms_p90: from the onset of speech (the first 10 ms within 30 dB of the loudest)
        until the first token is out: the rest of its step arrives and is computed. Negative where it is out before;
        None if no utterance has a token.
      finalization_ms_p50, finalization_ms_p90: computing after the last sample of an utterance.
    """

    first_token_ms_p50: float | None = None
    first_token_ms_p90: float | None = None
    finalization_ms_p50: float = Field(ge=0)
    finalization_ms_p90: float = Field(ge=0)


class WordTimes(Columns):
    """Times of recognized words beside those at which they were spoken.

    Attributes:
      spoken: number of words.
      recognized: number of those that were recognized rightly, which are compared.
      start_bias_ms, end_bias_ms: median of how much later than spoken a word begins and ends; negative for earlier.
      start_ms_p50, start_ms_p90, end_ms_p50, end_ms_p90: absolute differences.
    """

    spoken: int = Field(ge=0)
    recognized: int = Field(ge=0)
    start_bias_ms: float
    start_ms_p50: float = Field(ge=0)
    start_ms_p90: float = Field(ge=0)
    end_bias_ms: float
    end_ms_p50: float = Field(ge=0)
    end_ms_p90: float = Field(ge=0)


class HotwordScore(Columns):
    """Words of a list, which a search prefers or not, apart from all others.

    Attributes:
      hotwords: number of words of the list.
      hotwords_said: how often they occur in the references; hotword_recall: the share of those that was recognized,
        None if they do not occur.
      false_hotwords: how often one of them was recognized where another word or none was said.
      other_wer: errors in all other words, insertions included, over the number of these words.
    """

    hotwords: int = Field(ge=0)
    hotwords_said: int = Field(ge=0)
    hotword_recall: float | None = Field(None, ge=0, le=1)
    false_hotwords: int = Field(ge=0)
    other_wer: float = Field(ge=0)


class StepTime(Columns):
    """Compute time of one step, of a stream or of training.

    Attributes:
      step_ms_p50, step_ms_p90: median and ninetieth percentile over steps; of training, CPU time, the median over
        rounds.
      step_time_ratio: the median over that of the float model in the same interleaved run.
    """

    step_ms_p50: float = Field(ge=0)
    step_ms_p90: float | None = Field(None, ge=0)
    step_time_ratio: float | None = Field(None, ge=0)


class Parity(Columns):
    """Differences of the outputs of a stream from those of the offline model.

    Attributes:
      relative_rms: root mean square of the differences over that of the offline model's outputs.
      max_abs_difference: the largest difference.
      different_transcripts: number of utterances.
    """

    relative_rms: float = Field(ge=0)
    max_abs_difference: float = Field(ge=0)
    different_transcripts: int | None = Field(None, ge=0)


class Gemm(Columns):
    """A dense layer [m, k] x [k, n].

    Attributes:
      k, n, m: sizes.
      working_set_mb: weights, in 10^6 bytes, that the benchmark reads before it reads the same again; more than the
        caches hold.
      time_us: of one layer.
      gops: 10^9 multiplications and additions a second.
      limit_fraction: least time in which the machine could do it, over time_us.
    """

    k: int = Field(gt=0)
    n: int = Field(gt=0)
    m: int = Field(gt=0)
    working_set_mb: float | None = Field(None, ge=0)
    time_us: float | None = Field(None, ge=0)
    gops: float | None = Field(None, ge=0)
    limit_fraction: float | None = Field(None, ge=0)


class InstructionCounts(Columns):
    """Instructions of one layer, counted in an emulator.

    Attributes:
      isa: the emulated processor.
      instructions: number of those that were executed.
      product_instructions: number of those that add up several products each.
    """

    isa: str
    instructions: int = Field(ge=0)
    product_instructions: int = Field(ge=0)


class ModelledCycles(Columns):
    """Cycles of the hot loop of a dense layer, by a model of a processor core that assumes all data in its first cache.

    Attributes:
      core: name of the core, as llvm-mca has it.
      cycles: for 64 multiply-adds.
    """

    core: str
    cycles: float = Field(ge=0)


class TrainingStepRatio(Columns):
    """Time of a training step over that of the float step in the same round: median and quartiles over rounds."""

    step_ratio: float = Field(ge=0)
    step_ratio_low: float = Field(ge=0)
    step_ratio_high: float = Field(ge=0)


class ResultRow(Record):
    """One measurement, of a model or of an implementation.

    Attributes:
      model: name of the model, unique within a report ("float32", "int4", ...).
      parameters: number of weights, trainable and other.
      cut_off: number of utterances whose decoder did not end by itself, of a model of conversion.
      audio_seconds: length of the audio, where it is the same in every run.
      rss_growth_mb: growth of the process's memory over a long stream, in 10^6 bytes.
      implementation: "tfconformer", or the baseline's name and version.
      others: see their records.
    """

    model: str | None = None
    parameters: int | None = Field(None, ge=0)
    quantization: Quantization = Quantization()
    training: Training = Training()
    accuracy: Accuracy | None = None
    generated_speech: GeneratedSpeech | None = None
    size: Size = Size()
    speed: Speed = Speed()
    conversion_speed: ConversionSpeed | None = None
    cut_off: int | None = Field(None, ge=0)
    execution: Execution = Execution()
    stream: Stream | None = None
    responsiveness: Responsiveness | None = None
    word_times: WordTimes | None = None
    hotword_score: HotwordScore | None = None
    step: StepTime | None = None
    parity: Parity | None = None
    audio_seconds: float | None = Field(None, ge=0)
    rss_growth_mb: float | None = None
    implementation: str | None = None
    gemm: Gemm | None = None
    instruction_counts: InstructionCounts | None = None
    modelled_cycles: ModelledCycles | None = None
    training_step: TrainingStepRatio | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_columns(cls, value: Any, info: ValidationInfo) -> Any:
        """Gathers the columns of a row in JSON into records."""
        if info.mode != "json" or not isinstance(value, Mapping):
            return value
        columns = {_RENAMED.get(key, key): one for key, one in value.items()}
        tree: dict[str, Any] = {}
        for name, keys in _RECORDS.items():
            found = {key: columns.pop(key) for key in keys if key in columns}
            if found:
                tree[name] = found
        nested = next((name for name in _RECORDS if name in columns), None)
        if nested is not None:
            raise ValueError(f"a row is flat, it has no key {nested!r}")
        return columns | tree

    @model_serializer(mode="wrap")
    def _to_columns(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        for name, value in serialize(self).items():
            columns |= (value or {}) if name in _RECORDS else {name: value}
        return columns

    @model_validator(mode="after")
    def _names_its_subject(self) -> ResultRow:
        if self.model is None and self.implementation is None:
            raise ValueError("a row needs 'model' or 'implementation'")
        return self


def _record_type(annotation: Any) -> type[Columns] | None:
    types = [one for one in (annotation, *get_args(annotation)) if isinstance(one, type) and issubclass(one, Columns)]
    return types[0] if types else None


# Record of a row -> its columns.
_RECORDS: dict[str, tuple[str, ...]] = {
    name: tuple(record.model_fields)
    for name, field in ResultRow.model_fields.items()
    if (record := _record_type(field.annotation)) is not None
}


def percentiles(values: ArrayLike) -> tuple[float, float]:
    """The median and the ninetieth percentile of at least one value."""
    p50, p90 = np.percentile(np.asarray(values), (50, 90)).tolist()
    return p50, p90


def common(values: Sequence[Any]) -> Any:
    """The value that all have; None if they differ, or if there is none."""
    return values[0] if len(set(values)) == 1 else None
