"""The section `training` of a configuration in the compiled model."""

import pytest

from tests.support.tiny_conformer import tiny_config, tiny_model
from tfconformer.training.train import compile_model


def test_optimizer_and_loss_weights_are_those_of_the_configuration():
    config = tiny_config()
    changes = {"clip_norm": 0.5, "weight_decay": 0.03, "intermediate_weight": 0.2, "warmup_steps": 7}
    model = tiny_model(config)
    compile_model(model, config.model_copy(update={"training": config.training.model_copy(update=changes)}))
    optimizer = model.optimizer
    assert (optimizer.global_clipnorm, optimizer.weight_decay) == (0.5, 0.03)
    assert optimizer.get_config()["learning_rate"]["config"]["warmup_steps"] == 7
    assert model.get_compile_config()["loss_weights"] == pytest.approx({"logits": 0.8, "intermediate": 0.2})
