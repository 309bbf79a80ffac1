import base64
import logging

import numpy as np
import pytest

from converters.evaluation.evaluate import evaluate
from tests.support.fake_runtime import SAMPLES_PER_FRAME
from tests.support.model_metadata import metadata, packed_dense
from tests.support.packed_layer import random_layer
from tests.support.tflite_builder import RecognizerBuilder
from tfconformer.data.config import TokenizerConfig
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.ctc import greedy_decode
from tfconformer.errors import InputError

OPEN_FAKE = "tests.support.fake_runtime:open_model"
SAMPLE_RATE = 16000
FRAME = 40


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["CALL HOME NOW", "THE CAT SAT ON A MAT"], TokenizerConfig())


@pytest.fixture
def models(tmp_path, tokenizer):
    """A folder in which to write exported models by name; the fake runtime behaves as the name says."""
    generator = np.random.default_rng(0)
    layers = [
        random_layer(generator, 4, FRAME, 32, block_size=8, activation="relu"),
        random_layer(generator, 2, 32, tokenizer.vocabulary_size + 1, symmetric=False, block_size=16),
    ]
    description = metadata(
        *(packed_dense(f"dense_{i}", layer) for i, layer in enumerate(layers)),
        tokenizer=base64.b64encode(tokenizer.to_bytes()).decode(),
        config={
            "features": {"sample_rate": SAMPLE_RATE, "frame_length": FRAME},
            "model": {"blocks": 1, "dim": 4, "heads": 1, "subsampling_channels": 1},
        },
    )
    content = RecognizerBuilder(layers, description).finish()

    def write(name: str):
        (tmp_path / f"{name}.tflite").write_bytes(content)
        return tmp_path / f"{name}.tflite"

    write.layers = layers
    return write


def spoken(tokenizer: Tokenizer, text: str) -> np.ndarray:
    """A waveform in which the fake runtime hears `text`: every id one frame, a blank between any two."""
    path = [frame for i in tokenizer.encode(text) for frame in (i, 0)]
    return np.repeat(np.array(path, np.float32) / 10, SAMPLES_PER_FRAME)


def test_hypotheses_score_and_row(models, tokenizer):
    utterances = [
        (spoken(tokenizer, "CALL HOME"), "CALL HOME NOW", "u1"),
        (spoken(tokenizer, "THE CAT SAT"), "THE CAT SAT", "u2"),
        (spoken(tokenizer, "A MAT"), "", "u3"),
    ]
    evaluation = evaluate(models("good"), iter(utterances), "fake", threads=2, open_model=OPEN_FAKE)
    assert [(one.id, one.hypothesis) for one in evaluation.utterances] == [
        ("u1", "CALL HOME"),
        ("u2", "THE CAT SAT"),
        ("u3", "A MAT"),
    ]
    errors = evaluation.errors
    assert (errors.words, errors.substitutions, errors.deletions, errors.insertions) == (6, 0, 1, 2)
    assert evaluation.skipped == {}
    row = evaluation.row("int4", "test-clean")
    assert row.model == "int4"
    score, execution = row.accuracy, row.execution
    assert (score.test_set, score.utterances, score.skipped) == ("test-clean", 3, 0)
    assert (score.wer, score.wer_low, score.wer_high) == (errors.wer, errors.wer_low, errors.wer_high)
    assert (execution.runtime, execution.kernel, execution.threads) == ("fake 1.0", "fake kernel", 2)
    assert score.evaluated_with == "tflite"
    assert row.size.file_bytes == models("good").stat().st_size
    assert row.size.weight_bytes == evaluation.file.weight_bytes
    assert execution.peak_rss_mb == evaluation.peak_rss_bytes / 1e6
    transcript = evaluation.transcripts("int4", "test-clean")[0]
    assert (transcript.id, transcript.reference, transcript.hypothesis) == ("u1", "CALL HOME NOW", "CALL HOME")


def test_real_time_factor_is_per_utterance(models, tokenizer):
    utterances = [(spoken(tokenizer, text), text, text) for text in ("CALL", "CALL HOME NOW", "THE CAT SAT ON A MAT")]
    evaluation = evaluate(models("good"), utterances, "fake", open_model=OPEN_FAKE)
    assert [one.audio_seconds for one in evaluation.utterances] == [len(w) / SAMPLE_RATE for w, _, _ in utterances]
    row = evaluation.row("m", "t")
    factors = sorted(one.compute_seconds / one.audio_seconds for one in evaluation.utterances)
    assert row.speed.rtf_p50 == pytest.approx(factors[1])
    # Linear interpolation between the second and third of three values: position 0.9 * 2 = 1.8.
    assert row.speed.rtf_p90 == pytest.approx(factors[1] + 0.8 * (factors[2] - factors[1]))
    assert row.speed.latency_ms_p50 == pytest.approx(
        1e3 * sorted(one.compute_seconds for one in evaluation.utterances)[1]
    )


def test_the_first_run_only_warms_up(models, tokenizer):
    """The model that says how often it ran: two runs for the first utterance, one for the second."""
    utterances = [(np.zeros(SAMPLES_PER_FRAME, np.float32), "A", name) for name in ("u1", "u2")]
    evaluation = evaluate(models("runs"), utterances, "fake", open_model=OPEN_FAKE)
    assert [one.hypothesis for one in evaluation.utterances] == [tokenizer.decode([2]), tokenizer.decode([3])]


def test_unusable_utterances_are_counted(models, tokenizer, caplog):
    good = spoken(tokenizer, "CALL")
    broken = good.copy()
    broken[100] = np.nan
    utterances = [
        (np.zeros(0, np.float32), "A", "empty"),
        (np.zeros(FRAME - 1, np.float32), "A", "short"),
        (np.zeros(SAMPLE_RATE + 1, np.float32), "A", "long"),
        (broken, "A", "nan"),
        (np.full(FRAME, np.inf, np.float32), "A", "inf"),
        (good, "CALL", "good"),
    ]
    with caplog.at_level(logging.WARNING):
        evaluation = evaluate(models("good"), utterances, "fake", max_seconds=1.0, open_model=OPEN_FAKE)
    assert [one.id for one in evaluation.utterances] == ["good"]
    assert evaluation.skipped == {
        "empty": 1,
        "shorter than 40 samples": 1,
        "longer than 16000 samples": 1,
        "not finite": 2,
    }
    assert evaluation.row("m", "t").accuracy.skipped == 5
    assert len(caplog.records) == 5
    assert "skipped nan: not finite" in caplog.text


def test_utterances_at_the_limits_are_used(models):
    utterances = [(np.zeros(n, np.float32), "A", str(n)) for n in (FRAME, SAMPLE_RATE)]
    evaluation = evaluate(models("good"), utterances, "fake", max_seconds=1.0, open_model=OPEN_FAKE)
    assert (len(evaluation.utterances), evaluation.skipped) == (2, {})


@pytest.mark.parametrize(
    ("model", "utterances", "message"),
    [
        ("good", [], "no usable utterance .it is empty"),
        ("good", [(np.zeros(0, np.float32), "A", "u")], "no usable utterance .1 empty"),
        ("good", [(np.zeros((1, 400), np.float32), "A", "u")], "shape"),
        ("good", [(np.zeros(400, np.float32), "A", "u")] * 2, "two utterances named u"),
        ("good", [(np.zeros(400, np.float32), " ", "u")], "no word"),
        ("nan", [(np.zeros(400, np.float32), "A", "u")], "u: .* logits hold a NaN"),
        ("refuse", [(np.zeros(400, np.float32), "A", "u")], "cannot resize"),
    ],
)
def test_what_cannot_be_evaluated_is_one_clear_error(models, model, utterances, message):
    with pytest.raises(InputError, match=message):
        evaluate(models(model), utterances, "fake", open_model=OPEN_FAKE)


def test_a_truncated_model_is_one_clear_error(models):
    path = models("good")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"good\.tflite"):
        evaluate(path, [(np.zeros(400, np.float32), "A", "u")], "fake", open_model=OPEN_FAKE)


@pytest.mark.parametrize("runtime", ["tflite-runtime", "ai-edge-litert"])
def test_a_real_runtime_hears_what_the_definition_says(models, tokenizer, runtime):
    generator = np.random.default_rng(1)
    waveforms = [generator.uniform(-1, 1, FRAME * frames).astype(np.float32) for frames in (30, 5, 60)]
    expected = []
    for waveform in waveforms:
        logits = waveform.reshape(-1, FRAME)
        for layer in models.layers:
            logits = layer.float32(logits)
        expected.append(tokenizer.decode(greedy_decode(logits)))
    utterances = [(waveform, "CALL HOME", str(i)) for i, waveform in enumerate(waveforms)]
    evaluation = evaluate(models("real"), utterances, runtime)
    assert [one.hypothesis for one in evaluation.utterances] == expected
    assert evaluation.runtime.startswith(f"{runtime} ")
    assert evaluation.kernel
    # Python, NumPy and either runtime take 40 to 90 MB; TensorFlow, which must not be in the process, over 300.
    assert evaluation.peak_rss_bytes < 200e6
