"""The start of a training whose N:M mask SparseGPT chooses."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.tiny_conformer import ONE_BLOCK, tiny_config, tiny_tokenizer, write_run
from tfconformer.config import Config
from tfconformer.errors import InputError
from tfconformer.quantization.apply import QuantizedLayers
from tfconformer.quantization.post_training.quantize import input_hessians
from tfconformer.quantization.post_training.sparse_gpt import sparse_gpt
from tfconformer.training.checkpoint import load_model
from tfconformer.training.post_training import calibration_inputs
from tfconformer.training.run import RunDirectory
from tfconformer.training.train import initial_model

LAYER = "block_00_ff1_expand"
SPARSE = [{"layers": LAYER, "spec": {"bits": 4, "sparsity": "2:4"}}, {"layers": "block_.*", "spec": {"bits": 4}}]


def changed(rules: list[dict], shards: str, **training) -> Config:
    tree = tiny_config(rules, ONE_BLOCK).model_dump()
    tree["training"] |= training | {"initial_pruning": "hessian"}
    return Config.model_validate(tree | {"data": {"train": [shards], "dev": [shards]}})


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDirectory:
    return write_run(RunDirectory(tmp_path_factory.mktemp("float") / "run"), tiny_config(context=ONE_BLOCK))


def test_the_kernel_is_pruned_by_the_hessian_of_training_utterances_and_the_mask_is_its(run, tiny_shards):
    config = changed(SPARSE, tiny_shards, initial_weights=str(run.path))
    model, source = initial_model(config, tiny_tokenizer(), None), load_model(run)
    kernel = source.get_layer(LAYER).kernel.numpy()
    expected = sparse_gpt(kernel, input_hessians(source, calibration_inputs(config))[LAYER], (2, 4))
    layers = {layer.name.removeprefix("quant_"): layer for layer in model.layers}
    np.testing.assert_array_equal(layers[LAYER].layer.kernel, expected)
    np.testing.assert_array_equal(QuantizedLayers(model)[LAYER].mask, expected != 0)
    dense = "block_00_ff2_expand"
    np.testing.assert_array_equal(layers[dense].layer.kernel, source.get_layer(dense).kernel)


def test_without_sparsity_it_is_one_sentence(run, tiny_shards):
    message = "initial_pruning: hessian needs training.initial_weights and a rule with sparsity"
    with pytest.raises(InputError, match=message):
        initial_model(changed([], tiny_shards, initial_weights=str(run.path)), tiny_tokenizer(), None)
