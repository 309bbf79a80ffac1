"""A small results file as a run of four models on two test sets leaves it."""

from __future__ import annotations

import json

from tfconformer.reports.results import LayerError, Machine, ResultsFile, Stage, Transcript
from tfconformer.reports.rows import Accuracy, Execution, Quantization, ResultRow, Size, Speed, Training

RUNTIME = "tflite-runtime 2.14.0"
MODELS = {"float32": (32, 6_612_345), "int8": (8, 2_012_345), "int2": (2, 812_345)}
SENTENCES = {
    "u1": ("CALL HOME NOW", {"int2": "CALL HOME"}),
    "u2": ("THE CAT SAT ON THE MAT", {"int2": "THE BAT SAT ON MAT"}),
    "u3": ("OPEN THE DOOR", {"int8": "OPEN THE DOOR PLEASE", "int2": "OPEN THE DOOR PLEASE NOW SIR"}),
}
MACHINE = Machine(cpu="Example CPU", cores=2, limits="8.0 GB memory")


def row(model: str, test_set: str) -> ResultRow:
    bits, file_bytes = MODELS[model]
    quantized = {"symmetric": bits != 2, "granularity": "block", "block_size": 32} if bits < 32 else {}
    return ResultRow(
        model=model,
        quantization=Quantization(weight_bits=bits, activation_bits=32, **quantized),
        training=Training(method="qat" if bits < 32 else None),
        accuracy=Accuracy(
            test_set=test_set,
            utterances=3,
            words=12,
            skipped=0,
            wer=0.0612 + 0.1 / bits,
            wer_low=0.0412 + 0.1 / bits,
            wer_high=0.0912 + 0.1 / bits,
            substitutions=3,
            deletions=2,
            insertions=1,
            evaluated_with="tflite",
        ),
        size=Size(file_bytes=file_bytes, weight_bytes=file_bytes - 12_345, bits_per_weight=bits + 0.5),
        speed=Speed(rtf_p50=0.0123, rtf_p90=0.0234, latency_ms_p50=40.5, latency_ms_p90=77.7),
        execution=Execution(peak_rss_mb=61.4, runtime=RUNTIME, kernel="avx2", threads=1),
    )


def changed(row: ResultRow, **columns: object) -> ResultRow:
    """The row with other values in some columns; None takes a column away."""
    return ResultRow.model_validate_json(json.dumps(row.model_dump(exclude_none=True) | columns))


def set_of(row: ResultRow) -> str | None:
    return None if row.accuracy is None else row.accuracy.test_set


def results(test_sets: tuple[str, ...] = ("test-clean", "test-other")) -> ResultsFile:
    return ResultsFile(
        command="tfconformer demo --output build/demo",
        commit="0123456789abcdef0123456789abcdef01234567",
        date="2026-11-21T12:00:00+00:00",
        machine=MACHINE,
        rows=tuple(row(model, test_set) for model in MODELS for test_set in test_sets),
        layers=tuple(
            LayerError(model=model, layer=f"block_00_{layer}", sqnr_db=sqnr)
            for model, errors in {"int8": (41.2, 39.9), "int2": (8.7, 6.3)}.items()
            for layer, sqnr in zip(("ff1_expand", "ff1_contract"), errors, strict=True)
        ),
        stages=(Stage(name="fine-tune int8", seconds=75.4), Stage(name="export", seconds=12.25)),
        transcripts=tuple(
            Transcript(
                model=model,
                test_set=test_set,
                runtime=RUNTIME,
                id=key,
                reference=reference,
                hypothesis=errors.get(model, reference),
            )
            for model in MODELS
            for test_set in test_sets
            for key, (reference, errors) in SENTENCES.items()
        ),
    )
