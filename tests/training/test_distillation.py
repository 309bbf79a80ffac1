"""The model that is fitted with a teacher beside it, and teachers that do not suit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.tiny_conformer import tiny_config, tiny_model, tiny_tokenizer, write_run
from tfconformer.config import Config
from tfconformer.data.config import TokenizerConfig
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.errors import InputError
from tfconformer.training.checkpoint import load_model
from tfconformer.training.distillation import distilled_model
from tfconformer.training.run import RunDirectory
from tfconformer.training.train import compile_model

RULES = [{"layers": ".*_head", "spec": None}, {"layers": ".*", "spec": {"bits": 2}, "co_train": [{"bits": 4}]}]
CONTEXT = {"blocks": 2, "dim": 16, "conv_kernel": 3, "subsampling_channels": 2}
STRIDE_8 = {"subsampling": "depthwise", "subsampling_factor": 8}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> RunDirectory:
    return write_run(RunDirectory(tmp_path_factory.mktemp("teacher") / "run"), tiny_config(context=CONTEXT))


def learning(rules: list[dict], context: dict = CONTEXT, **training) -> Config:
    config = tiny_config(rules, context)
    changed = config.training.model_dump() | training
    return Config.model_validate(config.model_dump() | {"training": changed})


def test_the_teacher_is_read_in_inference_and_no_weight_of_the_fitted_model(teacher):
    config = learning(RULES, initial_weights=str(teacher.path), distillation={"weight": 0.75})
    model = tiny_model(config)
    fitted = distilled_model(model, config, tiny_tokenizer())
    assert {id(weight) for weight in fitted.weights} == {id(weight) for weight in model.weights}
    inputs = [np.random.default_rng(0).normal(size=[2, 60, 80]).astype(np.float32), np.array([60, 40], np.int32)]
    expected, outputs = load_model(teacher)(inputs, training=False), fitted(inputs, training=False)
    evaluated = model(inputs, training=False)
    for name in ("logits", "intermediate"):
        pair = outputs[f"{name}_distillation"]
        np.testing.assert_array_equal(pair[:, 0], expected[name])
        np.testing.assert_array_equal(pair[:, 1], evaluated[name])
    compile_model(fitted, config)
    weights = fitted.get_compile_config()["loss_weights"]
    expected_weights = {"logits": 0.7 * 0.25, "intermediate": 0.3 * 0.25}
    expected_weights |= {"logits_distillation": 0.7 * 0.75, "intermediate_distillation": 0.3 * 0.75}
    assert weights == pytest.approx(expected_weights)


def test_a_teacher_of_another_stride_is_one_sentence(teacher):
    config = learning([], CONTEXT | STRIDE_8, distillation={"teacher": str(teacher.path)})
    with pytest.raises(InputError, match="frames of another length"):
        distilled_model(tiny_model(config), config, tiny_tokenizer())


def test_other_trainings_without_a_teacher_that_suits_are_one_sentence(teacher):
    model, named = tiny_model(tiny_config(context=CONTEXT)), {"teacher": str(teacher.path)}
    config, tokenizer = learning([], distillation=named), tiny_tokenizer()
    features = config.features.model_copy(update={"preemphasis": 0.5})
    for other, labels, message in (
        (config, Tokenizer.train(["AB"], TokenizerConfig()), "teacher .*run has another tokenizer than the model"),
        (config.model_copy(update={"features": features}), tokenizer, "another front end"),
        (config.model_copy(update={"task": "vocoder"}), tokenizer, "the task vocoder has no output to distil"),
        (learning([], distillation={}), tokenizer, "needs a teacher: the run directory of a trained model"),
    ):
        with pytest.raises(InputError, match=message):
            distilled_model(model, other, labels)
    assert distilled_model(model, learning([]), tokenizer) is model
