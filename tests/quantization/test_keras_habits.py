"""Keras users' habits with a quantized model: callbacks, loops, sample weights, mixed precision, compilation by XLA."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import tfconformer
from tests.support.keras_kinds import inputs, keras_model
from tests.support.tiny_conformer import ONE_BLOCK, tiny_config, tiny_model
from tfconformer import ClipSearch, LearnedClip, QuantizationSteps, QuantSpec, Schedule
from tfconformer.errors import InputError

callbacks, layers = keras.callbacks, keras.layers
X = inputs()
Y = np.random.default_rng(2).normal(size=[len(X), 2]).astype(np.float32)
INT2 = QuantSpec(bits=2, symmetric=False, block_size=8, clip=LearnedClip(learn="channel"))
SCHEDULED = QuantSpec(bits=4, clip=ClipSearch(search="channel", every=2), schedule=Schedule(begin=1, freeze=3))


def quantized(spec: QuantSpec = INT2, **options: object) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input(X.shape[1:]), layers.Flatten(), layers.Dense(8, "relu", name="a"), layers.Dense(2, name="b")]
    )
    model = tfconformer.quantize(model, {".*": spec})
    model.compile(keras.optimizers.Adam(0.02), "mse", **options)
    return model


def fit(model: keras.Model, *given: keras.callbacks.Callback, **options: object) -> list[float]:
    options = {"epochs": 6, "shuffle": False, "verbose": 0, "callbacks": [QuantizationSteps(), *given], **options}
    return model.fit(X, Y, **options).history["loss"]


@pytest.fixture(scope="module")
def scheduled_losses() -> list[float]:
    """The losses of a training with a schedule."""
    return fit(quantized(SCHEDULED))


def test_callbacks_of_keras(tmp_path):
    model = quantized(SCHEDULED)
    best = callbacks.ModelCheckpoint(str(tmp_path / "best.keras"), monitor="loss", save_best_only=True)
    plateau = callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=10.0)
    stopping = callbacks.EarlyStopping("loss", patience=3, min_delta=10.0, restore_best_weights=True)
    losses = fit(model, best, plateau, stopping, callbacks.TensorBoard(str(tmp_path / "logs")))
    assert len(losses) == 4
    assert model.optimizer.learning_rate < 0.02
    assert list((tmp_path / "logs").rglob("events*"))
    loaded = tfconformer.load_model(tmp_path / "best.keras")
    # The checkpoint was written after a step of the optimizer, whose loss the next epoch shows.
    assert loaded.evaluate(X, Y, verbose=0) <= losses[0]


class KilledError(Exception):
    pass


class KillAfter(callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 3:
            raise KilledError


def test_a_killed_training_continues_as_if_it_had_not_been(scheduled_losses, tmp_path):
    with pytest.raises(KilledError):
        fit(quantized(SCHEDULED), callbacks.BackupAndRestore(tmp_path), KillAfter())
    assert fit(quantized(SCHEDULED), callbacks.BackupAndRestore(tmp_path)) == scheduled_losses[3:]


def test_a_loop_of_one_s_own_trains_as_fit_does(scheduled_losses):
    model, losses = quantized(SCHEDULED), []
    for step in range(len(scheduled_losses)):
        tfconformer.quantization_step(model, step)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.mean_squared_error(Y, model(X, training=True)))
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        losses.append(float(loss))
    # Eager operations are not fused, so float32 sums differ in their order.
    np.testing.assert_allclose(losses, scheduled_losses, rtol=1e-5)


def test_several_steps_per_execution_without_a_schedule_are_refused_with_one():
    options = {"batch_size": 1}
    assert fit(quantized(steps_per_execution=3), **options) == fit(quantized(), **options)
    with pytest.raises(InputError, match="needs every step by itself: set steps_per_execution to 1"):
        fit(quantized(SCHEDULED, steps_per_execution=3))


def test_sample_weights():
    alone = quantized()
    alone.fit(X[:1], Y[:1], epochs=2, verbose=0)
    weighted = quantized()
    weighted.fit(X, Y, epochs=2, verbose=0, sample_weight=np.array([3.0, 0.0, 0.0]))
    np.testing.assert_allclose(weighted(X), alone(X), rtol=1e-5, atol=1e-6)  # sums of other lengths


def test_compilation_by_xla_is_refused():
    with pytest.raises(InputError, match=r"cannot be compiled by XLA, .* set jit_compile to False"):
        fit(quantized(jit_compile=True))


BRANCHES = ["dense", "lstm", "attention"]
CONFORMER = tiny_config([{"layers": ".*", "spec": {"bits": 4, "block_size": 16}}], ONE_BLOCK)


@pytest.fixture(scope="module")
def in_float32():
    """The models of the tests of mixed precision, in float32."""
    return keras_model(BRANCHES), tiny_model(CONFORMER)


@pytest.fixture(params=["mixed_float16", "mixed_bfloat16"])
def mixed(request, in_float32):
    keras.mixed_precision.set_global_policy(request.param)
    yield request.param
    keras.mixed_precision.set_global_policy("float32")


@pytest.fixture(scope="module")
def expected_outputs(in_float32):
    return {name: output.numpy() for name, output in tfconformer.quantize(in_float32[0], {".*": INT2})(X).items()}


def test_mixed_precision_keeps_quantized_layers_in_float32(expected_outputs, in_float32, mixed):
    model = keras_model(BRANCHES)
    model.set_weights(in_float32[0].get_weights())
    quantized = tfconformer.quantize(model, {".*": INT2})
    quantized.compile("adam", "mse", run_eagerly=True)  # tracing takes many times longer than the steps
    zeros = {name: np.zeros(output.shape) for name, output in expected_outputs.items()}
    assert np.isfinite(quantized.fit(X, zeros, epochs=2, verbose=0).history["loss"]).all()
    keras.mixed_precision.set_global_policy("float32")
    fresh = tfconformer.quantize(model, {".*": INT2})
    for name, output in fresh(X).items():
        assert output.dtype == keras.mixed_precision.Policy(mixed).compute_dtype
        # The inputs have 8 (bfloat16) or 11 (float16) bits.
        expected = expected_outputs[name]
        assert np.abs(tf.cast(output, tf.float32) - expected).max() <= 0.02 * np.abs(expected).max()


def test_a_conformer_keeps_its_layers_in_float32(in_float32, mixed):
    reference, model = in_float32[1], tiny_model(CONFORMER)
    model.set_weights(reference.get_weights())
    features = tf.random.stateless_normal([1, 30, CONFORMER.features.mel_bins], seed=[0, 0])
    computed = model([features, tf.constant([30])])["logits"]
    expected = reference([features, tf.constant([30])])["logits"]
    assert computed.dtype == tf.float32
    # The features, the first convolution and the activations have 8 (bfloat16) or 11 (float16) bits.
    assert np.abs(computed - expected).max() <= 0.02 * np.ptp(expected)
