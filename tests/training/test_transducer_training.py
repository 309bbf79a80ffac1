"""A transducer as a user trains it: from a CTC model's encoder, through `train`, to a score with every search."""

import json

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from converters.evaluation.evaluate_run import evaluate_run
from tests.support.tiny_conformer import write_run
from tfconformer.cli import cli
from tfconformer.config import Config
from tfconformer.data.manifest import Utterance, write_manifest
from tfconformer.data.shards import shards_by_set, write_shards
from tfconformer.decoding.beam import BeamSearch
from tfconformer.errors import InputError
from tfconformer.training.run import RunDirectory
from tfconformer.training.train import train

pytestmark = pytest.mark.timeout(900)  # a training, which traces a model

TEXTS = ["YES", "NO MORE", "OH"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Shards of noise, a CTC run as a training leaves it, and a transducer run of two steps that starts from it."""
    folder = tmp_path_factory.mktemp("transducer")
    random = np.random.default_rng(0)
    for name, count in (("train", 6), ("dev", 2)):
        utterances = []
        for index in range(count):
            path = folder / f"{name}{index}.wav"
            soundfile.write(path, random.uniform(-0.3, 0.3, 8000 + 500 * index), 16000, subtype="PCM_16")
            utterances.append(Utterance(path.name, 0.5 + index / 32, TEXTS[index % 3], "a"))
        write_manifest(folder / f"{name}.jsonl", utterances)
        write_shards(folder / f"{name}.jsonl", folder / "shards", name)
    tree = {
        "data": {
            "train": [str(folder / "shards/train-*.tfrecord")],
            "dev": [str(folder / "shards/dev-*.tfrecord")],
            "batch_seconds": 2,
        },
        "model": {"blocks": 1, "dim": 16, "heads": 2, "conv_kernel": 5, "subsampling_channels": 4},
        "training": {"epochs": 1, "steps_per_epoch": 1, "learning_rate": 1e-3},
    }
    write_run(RunDirectory(folder / "ctc"), Config.model_validate(tree))
    tree["model"] |= {"transducer": {"embedding": 8, "lstm_units": 12, "joint": 10}}
    # So slowly that the encoder stays what it was.
    tree["training"] |= {
        "steps_per_epoch": 2,
        "learning_rate": 1e-9,
        "final_learning_rate": 0,
        "initial_weights": str(folder / "ctc"),
    }
    train(Config.model_validate(tree), RunDirectory(folder / "transducer"))
    return folder


def test_training_starts_from_the_encoder_of_the_ctc_model(folder):
    from tfconformer.training.checkpoint import load_model

    ctc, transducer = (load_model(RunDirectory(folder / name)) for name in ("ctc", "transducer"))
    (epoch,) = RunDirectory(folder / "transducer").history()
    assert np.isfinite(epoch["loss"])
    assert epoch["wer"] >= 0
    for layer in ctc.layers:
        if layer.name.startswith(("block", "subsampling")):
            for value, started_from in zip(
                transducer.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True
            ):
                np.testing.assert_allclose(value, started_from, atol=1e-6)  # two steps of 1e-9


@pytest.mark.parametrize("name", ["ctc", "transducer"])
def test_every_search_scores_a_run(folder, name):
    run, sets = RunDirectory(folder / name), shards_by_set([str(folder / "shards/*.tfrecord")])
    for search in (None, BeamSearch(width=3)):
        scores = list(evaluate_run(run, sets, "model", search))
        scored = [score.row.accuracy for score in scores]
        transcripts = [one for score in scores for one in score.transcripts]
        assert [(one.test_set, one.utterances, one.evaluated_with) for one in scored] == [
            ("dev", 2, "keras"),
            ("train", 6, "keras"),
        ]
        assert sorted(one.reference for one in transcripts) == sorted([*TEXTS, *TEXTS, *TEXTS[:2]])


def test_a_language_model_from_the_transcripts(folder):
    runner = CliRunner()
    arpa, shards = folder / "tokens.arpa", f"--shards={folder}/shards/dev-*.tfrecord"
    made = runner.invoke(cli, ["language-model", str(folder / "ctc"), str(arpa), "--order", "3"])
    assert "from 6 transcripts" in made.output, made.output
    output = folder / "lm.json"
    arguments = ["evaluate", str(folder / "ctc"), shards, "--beam-width", "4", "--language-model", str(arpa)]
    # So heavy that the transcript is one that was learned from.
    scored = runner.invoke(cli, [*arguments, "--language-model-weight", "100", "--output", str(output)])
    assert scored.exit_code == 0, scored.output
    hypotheses = {one["hypothesis"] for one in json.loads(output.read_text())["transcripts"]}
    assert hypotheses <= {*TEXTS, ""}
    refused = runner.invoke(cli, ["evaluate", str(folder / "transducer"), *arguments[2:]])
    assert isinstance(refused.exception, InputError)
    assert "takes no language model" in str(refused.exception)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("ctc", [], "needs --beam-width"),
        ("ctc/config.yaml", ["--beam-width", "4"], "for the directory of a run"),
    ],
)
def test_searches_that_cannot_be_are_refused(folder, source, options, message):
    language_model = folder / "empty.arpa"
    language_model.touch()
    shards = f"--shards={folder}/shards/dev-*.tfrecord"
    arguments = ["evaluate", str(folder / source), shards, "--language-model", str(language_model), *options]
    assert message in str(CliRunner().invoke(cli, arguments).exception)
