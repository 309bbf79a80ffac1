"""The model optimization toolkit's own way to quantize: the training of `tfconformer.quantize`, or one sentence."""

import numpy as np
import pytest
import tf_keras as keras
from tensorflow_model_optimization.quantization.keras import (
    quantize_annotate_layer,
    quantize_annotate_model,
    quantize_apply,
    quantize_scope,
)

import converters
import tfconformer
from tests.support.keras_kinds import WIDTH, inputs
from tfconformer import (
    ClipSearch,
    LearnedClip,
    QuantizationSteps,
    QuantSpec,
    Schedule,
    WeightQuantizeConfig,
    WeightQuantizeScheme,
)
from tfconformer.errors import InputError

layers = keras.layers
X = inputs()
Y = np.random.default_rng(2).normal(size=[len(X), 2]).astype(np.float32)
STEPS = 20


def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    x = keras.Input([X.shape[1], WIDTH], name="x")
    y = layers.Conv1D(6, 3, activation="relu", name="conv")(x)
    y = layers.LSTM(5, name="lstm")(y)
    return keras.Model(x, layers.Dense(2, name="dense")(y))


def annotated(spec: QuantSpec) -> keras.Model:
    def annotate(layer: keras.layers.Layer) -> keras.layers.Layer:
        is_input = isinstance(layer, layers.InputLayer)
        return layer if is_input else quantize_annotate_layer(layer, WeightQuantizeConfig(spec))

    with quantize_scope():
        copy = keras.models.clone_model(model(), clone_function=annotate)
        copy.set_weights(model().get_weights())
        return quantize_apply(copy, WeightQuantizeScheme())


def losses(trained: keras.Model) -> list[float]:
    trained.compile(keras.optimizers.Adam(0.01), loss="mse")
    callbacks = [QuantizationSteps()]
    return trained.fit(X, Y, epochs=STEPS, verbose=0, shuffle=False, callbacks=callbacks).history["loss"]


@pytest.mark.parametrize(
    "spec",
    [
        QuantSpec(bits=2, symmetric=False, block_size=8, clip=LearnedClip(learn="channel")),
        QuantSpec(bits=4, clip=ClipSearch(search="channel", every=3), schedule=Schedule(begin=2, freeze=9)),
    ],
    ids=["learned clip", "searched clip and schedule"],
)
def test_an_annotated_model_trains_as_a_quantized_one(spec):
    wrapped = annotated(spec)
    expected = losses(tfconformer.quantize(model(), {".*": spec}))
    # The same float32 operations, in recurrences in another order.
    np.testing.assert_allclose(losses(wrapped), expected, rtol=1e-4)
    assert expected[-1] < 0.9 * expected[0]


def test_layers_without_a_config_get_the_toolkit_s_own_8_bits():
    layer = layers.Dense(3, name="a")
    given = keras.Sequential(
        [keras.Input([WIDTH]), quantize_annotate_layer(layer, WeightQuantizeConfig(QuantSpec(bits=2))), layers.Dense(2)]
    )
    with quantize_scope():
        applied = quantize_apply(quantize_annotate_model(given), WeightQuantizeScheme())
    kinds = [
        type(wrapper.quantize_config).__name__ for wrapper in applied.layers if hasattr(wrapper, "quantize_config")
    ]
    assert "WeightQuantizeConfig" in kinds
    assert "Default8BitQuantizeConfig" in kinds
    assert applied(X[:, 0]).shape == (len(X), 2)


def apply(layer: keras.layers.Layer, spec: QuantSpec) -> keras.Model:
    config = WeightQuantizeConfig(spec)
    with quantize_scope():
        return quantize_apply(
            keras.Sequential([keras.Input([None, WIDTH]), quantize_annotate_layer(layer, config)], name="m")
        )


def test_what_the_toolkit_s_wrapper_cannot_carry_is_refused(tmp_path):
    with pytest.raises(
        InputError, match="multiplies in float, so that the layer a cannot have activation_bits: use tfc"
    ):
        apply(layers.Dense(3, name="a"), QuantSpec(bits=4, activation_bits=8))
    with pytest.raises(InputError, match=r"the layer a \(SeparableConv1D\) cannot be quantized"):
        apply(layers.SeparableConv1D(3, 3, name="a"), QuantSpec(bits=4))
    wrapped = apply(layers.Dense(3, name="a"), QuantSpec(bits=4))
    with pytest.raises(InputError, match="the layer quant_a is in the wrapper of the model optimization toolkit"):
        converters.export(wrapped, tmp_path / "m.tflite")
