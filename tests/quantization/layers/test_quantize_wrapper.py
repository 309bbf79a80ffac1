"""A quantized layer in `fit`: schedules, the quantizer's state, and that a restored model is the one that was saved."""

import gc

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tensorflow.python.framework.func_graph import FuncGraph

from tfconformer.errors import InputError
from tfconformer.layers.dense import Dense
from tfconformer.quantization.apply import QuantizedLayers, quantize_model
from tfconformer.quantization.layers.quantize_wrapper import (
    QuantizationSteps,
    quantization_step,
    set_active_bits,
    trained_bits,
)
from tfconformer.quantization.quantizers.clipping import search_clip
from tfconformer.quantization.quantizers.pruning import nm_mask
from tfconformer.quantization.quantizers.weights import fake_quantize_weights, quantize_weights
from tfconformer.quantization.spec import ClipSearch, QuantSpec

K, N, ROWS = 24, 5, 16
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(ROWS, K)).astype(np.float32)
Y = RANDOM.normal(size=(ROWS, N)).astype(np.float32)
HEAVY_TAILED = RANDOM.standard_t(4, size=(K, N)).astype(np.float32)
KERNEL = HEAVY_TAILED + 0.2 * np.sign(HEAVY_TAILED)  # no weight so small that its 8-bit code is 0


def quantized_model(*specs: dict, learning_rate: float = 0.05) -> keras.Model:
    inputs = keras.Input([K])
    model = keras.Model(inputs, Dense(N, name="dense")(inputs))
    model.get_layer("dense").kernel.assign(KERNEL)
    first, *further = (QuantSpec.model_validate(spec) for spec in specs)
    quantized = quantize_model(model, {"dense": first}, {"dense": tuple(further)})
    quantized.compile(keras.optimizers.Adam(learning_rate), loss="mse")
    return quantized


class Record(keras.callbacks.Callback):
    """What every training step multiplied with: the identity's image, while `training`."""

    def __init__(self):
        super().__init__()
        self.kernels, self.seen = [], []

    def on_train_batch_begin(self, batch, logs=None):
        layer = self.model.get_layer("quant_dense")
        self.kernels.append(layer.layer.kernel.numpy())
        self.seen.append(self.model(np.eye(K, dtype=np.float32), training=True).numpy() - layer.layer.bias.numpy())


def fit(model: keras.Model, steps: int) -> Record:
    record = Record()
    data = tf.data.Dataset.from_tensors((X, Y)).repeat()
    model.fit(data, steps_per_epoch=steps, verbose=0, callbacks=[QuantizationSteps(), record])
    return record


def fake(kernel: np.ndarray, **spec) -> np.ndarray:
    return fake_quantize_weights(tf.constant(kernel), QuantSpec.model_validate(spec)).numpy()


# The product with the identity adds zeros to one weight: exact but for the order of float32 operations.
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def test_float_before_begin_and_from_end_on():
    spec = {"bits": 2, "schedule": {"begin": 2, "end": 4}}
    model = quantized_model(spec)
    record = fit(model, 6)
    for step, (kernel, seen) in enumerate(zip(record.kernels, record.seen, strict=True)):
        np.testing.assert_allclose(seen, fake(kernel, bits=2) if 2 <= step < 4 else kernel, **CLOSE)
    # What is evaluated is quantized all the same.
    kernel = model.get_layer("quant_dense").layer.kernel
    np.testing.assert_array_equal(QuantizedLayers(model)["dense"].dequantize(), fake(kernel.numpy(), bits=2))


@pytest.mark.parametrize("symmetric", [True, False])
def test_frozen_scales_are_those_of_the_step(symmetric):
    options = {"bits": 4, "symmetric": symmetric, "block_size": 8}
    model = quantized_model({**options, "schedule": {"freeze": 2}})
    record = fit(model, 6)
    frozen = quantize_weights(tf.constant(record.kernels[2]), QuantSpec.model_validate(options))
    weights = QuantizedLayers(model)["dense"]
    np.testing.assert_array_equal(weights.scales, frozen.scales)
    if not symmetric:
        np.testing.assert_array_equal(weights.offsets, frozen.offsets)
    now = quantize_weights(model.get_layer("quant_dense").layer.kernel, QuantSpec.model_validate(options))
    assert not np.array_equal(now.scales, frozen.scales)
    for step in (0, 1, 2):
        np.testing.assert_allclose(record.seen[step], fake(record.kernels[step], **options), **CLOSE)


def test_a_searched_clip_is_remembered_between_searches():
    search = {"search": "channel", "every": 3}
    spec = QuantSpec.model_validate({"bits": 2, "clip": search})
    model = quantized_model(spec.model_dump())
    record = fit(model, 5)
    factors = [search_clip(tf.constant(record.kernels[step]), spec, spec.clip) for step in (0, 3)]
    assert not np.array_equal(*factors)
    for step, (kernel, seen) in enumerate(zip(record.kernels, record.seen, strict=True)):
        scales = np.abs(kernel).max(axis=0) * factors[step // 3][0]
        expected = np.clip(np.floor(kernel / scales + 0.5), -2, 1) * scales
        # Scales are stored in float16, so a weight is off by one part in 2^11.
        np.testing.assert_allclose(seen, expected, rtol=6e-4)
    np.testing.assert_allclose(
        QuantizedLayers(model)["dense"].scales[0],
        np.abs(model.get_layer("quant_dense").layer.kernel).max(axis=0) * factors[1][0],
        rtol=6e-4,
    )


def test_a_search_in_every_step_remembers_nothing():
    model = quantized_model({"bits": 2, "clip": {"search": "channel", "every": 1}})
    assert [weight.name for weight in model.get_layer("quant_dense").weights if "clip" in weight.name] == []


def test_learned_clips_start_where_a_search_puts_them_and_move():
    spec = QuantSpec.model_validate({"bits": 2, "clip": {"learn": "channel"}})
    model = quantized_model(spec.model_dump(), learning_rate=0.002)
    (clip,) = (weight for weight in model.trainable_weights if "clip" in weight.name)
    first = clip.numpy()
    np.testing.assert_array_equal(first, search_clip(tf.constant(KERNEL), spec, ClipSearch(search="channel")))
    fit(model, 5)
    # Adam moves by up to its learning rate a step, in the direction of the gradient.
    assert ((np.abs(clip - first) > 0) & (np.abs(clip - first) <= 0.011)).all()


def test_one_shot_pruning_keeps_its_mask():
    model = quantized_model({"bits": 8, "sparsity": "2:4", "sparsity_schedule": {"begin": 2}})
    before = QuantizedLayers(model)["dense"].dequantize().numpy()
    assert (before == 0).mean() == 0.5  # evaluated as exported
    record = fit(model, 8)
    assert all((seen == 0).mean() < 0.1 for seen in record.seen[:2])
    mask = nm_mask(tf.constant(record.kernels[2]), 2, 4).numpy()
    for seen in record.seen[2:]:
        np.testing.assert_array_equal(seen[mask == 0], 0)
    np.testing.assert_array_equal(QuantizedLayers(model)["dense"].mask, mask)


def test_gradual_pruning_follows_the_cubic_and_ends_at_n_of_m():
    model = quantized_model(
        {"bits": 8, "sparsity": "1:4", "sparsity_schedule": {"begin": 1, "end": 5, "every": 2}}, learning_rate=1e-4
    )
    record = fit(model, 8)
    prunable = K * N * 3 // 4
    shares = [0, 0, 0, 1 - 0.5**3, 1 - 0.5**3, 1, 1, 1]  # of steps 0..7; masks are chosen at 1, 3 and 5
    assert [int((seen == 0).sum()) for seen in record.seen] == [round(share * prunable) for share in shares]
    kept = (record.seen[-1] != 0).reshape(K // 4, 4, N)
    assert (kept.sum(axis=1) == 1).all()


@pytest.mark.parametrize(
    "spec",
    [
        {"bits": 2, "symmetric": False, "block_size": 8, "clip": {"search": "block", "every": 4}},
        {"bits": 2, "clip": {"learn": "channel"}},
        {"bits": 4, "symmetric": False, "schedule": {"begin": 1, "freeze": 3}},
        {"bits": 4, "activation_bits": 8, "sparsity": "2:4", "sparsity_schedule": {"begin": 1, "end": 9, "every": 3}},
    ],
)
def test_a_restored_model_is_the_saved_one_and_continues_as_if_never_interrupted(spec, tmp_path):
    whole = quantized_model(spec)
    fit(whole, 10)
    first = quantized_model(spec)
    fit(first, 5)
    first.save_weights(tmp_path / "weights.h5")
    tf.train.Checkpoint(model=first, optimizer=first.optimizer).write(str(tmp_path / "backup"))

    restored = quantized_model(spec)
    restored.load_weights(tmp_path / "weights.h5")
    for name, weights in QuantizedLayers(restored).items():
        expected = QuantizedLayers(first)[name]
        np.testing.assert_array_equal(weights.codes, expected.codes)
        np.testing.assert_array_equal(weights.scales, expected.scales)
    np.testing.assert_array_equal(restored.predict(X, verbose=0), first.predict(X, verbose=0))

    continued = quantized_model(spec)
    continued.optimizer.build(continued.trainable_variables)
    tf.train.Checkpoint(model=continued, optimizer=continued.optimizer).read(str(tmp_path / "backup")).assert_consumed()
    fit(continued, 5)
    for ours, theirs in zip(continued.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=ours.name)


def test_a_schedule_without_its_callback_is_an_error():
    model = quantized_model({"bits": 4, "schedule": {"begin": 3}})
    with pytest.raises(tf.errors.InvalidArgumentError, match="QuantizationSteps"):
        model.fit(X, Y, verbose=0)


def test_co_training_takes_the_precisions_in_turn_and_evaluates_the_chosen_one():
    specs = [{"bits": 8, "activation_bits": 8}, {"bits": 4}, {"bits": 2, "symmetric": False, "block_size": 8}]
    model = quantized_model(*specs)
    assert trained_bits(model) == (8, 4, 2)
    record = fit(model, 6)
    for step, (kernel, seen) in enumerate(zip(record.kernels, record.seen, strict=True)):
        np.testing.assert_allclose(seen, fake(kernel, **specs[step % 3]), rtol=1e-5, atol=1e-5)
    kernel = model.get_layer("quant_dense").layer.kernel.numpy()
    for spec in specs:
        set_active_bits(model, spec["bits"])
        weights = QuantizedLayers(model)["dense"]
        assert weights.spec == QuantSpec.model_validate(spec)
        np.testing.assert_array_equal(weights.dequantize(), fake(kernel, **spec))
        product = model.predict(np.eye(K, dtype=np.float32), verbose=0) - model.get_layer("quant_dense").layer.bias
        np.testing.assert_allclose(product, fake(kernel, **spec), rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match="not co-trained for 3 bits, but for 8, 4, 2"):
        set_active_bits(model, 3)


def test_schedules_that_mean_nothing_are_refused():
    for options in (
        {"schedule": {"begin": 5, "end": 3}},
        {"schedule": {"begin": 5, "freeze": 3}},
        {"sparsity_schedule": {"begin": 1}},
        {"sparsity": "2:4", "sparsity_schedule": {"begin": 5, "end": 5}},
        {"scheme": "magic"},
        {"clip": {"learn": "row"}},
    ):
        with pytest.raises(ValueError, match=r"lies before|needs sparsity|must lie after|unknown scheme|learn"):
            QuantSpec.model_validate({"bits": 4, **options})


def test_a_search_that_skips_steps_is_made_up_for():
    spec = QuantSpec(bits=2, clip=ClipSearch(search="tensor", every=10))
    model = quantized_model(spec.model_dump())
    layer = model.get_layer("quant_dense")
    quantization_step(model, 7)
    layer.layer.kernel.assign(KERNEL**3)
    quantization_step(model, 9)
    old = QuantizedLayers(model)["dense"].scales
    quantization_step(model, 23)
    np.testing.assert_array_equal(
        QuantizedLayers(model)["dense"].scales, quantize_weights(tf.constant(KERNEL**3), spec).scales
    )
    assert not np.array_equal(old, QuantizedLayers(model)["dense"].scales)


def graphs() -> int:
    """How many graphs in which a quantized layer was called are in memory."""
    gc.collect()
    return sum(isinstance(one, FuncGraph) and "quant_dense" in one.name for one in gc.get_objects())


@pytest.mark.parametrize("activation_bits", [None, 8])
def test_no_graph_of_its_building_stays_in_memory(activation_bits):
    before = graphs()
    model = quantized_model({"bits": 4, "activation_bits": activation_bits})
    assert model.built
    assert graphs() == before
