"""Models of a configuration, with weights and without."""

import pytest
import tf_keras as keras

from tests.support.tiny_conformer import TRANSDUCER, tiny_config
from tfconformer.models.abstract import abstract
from tfconformer.tasks import find_task


@pytest.mark.parametrize("context", [None, TRANSDUCER | {"training_chunks": [1, 2]}], ids=["ctc", "transducer"])
def test_an_abstract_model_has_everything_but_values(context):
    config = tiny_config(context=context)

    def build() -> keras.Model:
        return find_task(config.task).build(config.model, 80, 28)

    structure, real = abstract(build), build()

    def weights(model: keras.Model) -> list[tuple]:
        return [(layer.name, [tuple(weight.shape) for weight in layer.trainable_weights]) for layer in model.layers]

    assert weights(structure) == weights(real)
    assert [weight.trainable for weight in structure.weights] == [weight.trainable for weight in real.weights]
    assert not any(weight.numpy().size for weight in structure.trainable_weights)
    # Models that are built afterwards have weights again.
    assert weights(keras.models.clone_model(structure)) == weights(real)
    assert build().trainable_weights[0].numpy().any()
