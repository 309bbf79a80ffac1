"""Weights of a run: what was saved comes back, and what does not fit is named."""

import numpy as np
import pytest

from tests.support.tiny_conformer import tiny_config, tiny_model, tiny_tokenizer
from tfconformer.errors import InputError
from tfconformer.training.callbacks import save_weights
from tfconformer.training.checkpoint import load_model
from tfconformer.training.run import RunDirectory

# Variables besides the kernel: factors of the range, a mask.
RULES = [
    {"layers": "block_00_ff1_.*", "spec": {"bits": 2, "clip": {"learn": "block"}, "block_size": 8}},
    {"layers": "block_01_ff1_.*", "spec": {"bits": 4, "sparsity": "2:4", "sparsity_schedule": {"end": 10}}},
]


@pytest.fixture(scope="module")
def model():
    return tiny_model(tiny_config(RULES))


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    run = RunDirectory(tmp_path_factory.mktemp("run"))
    run.claim(tiny_config(RULES))
    tiny_tokenizer().save(run.tokenizer_file)
    save_weights(model, run)
    return run


def test_a_loaded_model_has_the_weights_that_were_saved(model, run):
    loaded = load_model(run)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    for layer, expected in zip(loaded.layers, model.layers, strict=True):
        for weight, saved in zip(layer.weights, expected.weights, strict=True):
            np.testing.assert_array_equal(weight, saved, err_msg=weight.name)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"rules": RULES, "context": {"dim": 48}}, "layer .* have other shapes"),
        ({"rules": RULES, "context": {"blocks": 3}}, "only one of the two has: block_02_"),
        ({"rules": [{**RULES[0], "spec": {"bits": 2}}, RULES[1]]}, "quant_block_00_ff1_expand have other shapes"),
    ],
)
def test_weights_of_another_configuration_are_refused(run, changed, reason):
    with pytest.raises(InputError, match=f"does not fit its configuration: .*{reason}"):
        load_model(run, tiny_config(**changed))
