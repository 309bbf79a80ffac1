"""Models of a configuration, with weights and without."""

import pytest
import tf_keras as keras

from tests.support.tiny_conformer import TRANSDUCER, tiny_config
from tfconformer.models.build import abstract_conformer, conformer


@pytest.mark.parametrize("context", [None, TRANSDUCER | {"training_chunks": [1, 2]}], ids=["ctc", "transducer"])
def test_an_abstract_model_has_everything_but_values(context):
    sizes = tiny_config(context=context).model, 80, 28
    abstract, real = abstract_conformer(*sizes), conformer(*sizes)

    def weights(model: keras.Model) -> list[tuple]:
        return [(layer.name, [tuple(weight.shape) for weight in layer.trainable_weights]) for layer in model.layers]

    assert weights(abstract) == weights(real)
    assert [weight.trainable for weight in abstract.weights] == [weight.trainable for weight in real.weights]
    assert not any(weight.numpy().size for weight in abstract.trainable_weights)
    # Models that are built afterwards have weights again.
    assert weights(keras.models.clone_model(abstract)) == weights(real)
    assert conformer(*sizes).trainable_weights[0].numpy().any()
