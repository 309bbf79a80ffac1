"""Export of Keras models of any kind of layer: the file computes what the model does, in every runtime."""

import numpy as np
import pytest
import tf_keras as keras

import converters
import tfconformer
from converters.exporter.verify import VerificationError
from tests.support.keras_kinds import BRANCHES, WIDTH, inputs, keras_model
from tfconformer import QuantSpec
from tfconformer.errors import InputError

layers = keras.layers
RUNTIMES = ("ai-edge-litert", "tflite-runtime", "tensorflow")
INT2 = QuantSpec(bits=2, symmetric=False, block_size=8, clip=0.8)
X = inputs()


@pytest.fixture(scope="module")
def quantized():
    return tfconformer.quantize(keras_model(), {"image": None, ".*": INT2})


@pytest.fixture(scope="module")
def files(quantized, tmp_path_factory):
    path = tmp_path_factory.mktemp("kinds") / "m.tflite"
    report = converters.export(quantized, path, verify_with=X, runtimes=RUNTIMES)
    assert len(report.parity) == len(RUNTIMES)
    assert path.with_suffix(".export.json").exists()
    return {runtime: converters.load(path, runtime) for runtime in RUNTIMES}


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_kind_of_layer_computes_in_every_runtime_what_keras_does(files, quantized, branch, runtime):
    for length in (len(X[0]), 5):
        x = X[:1, :length]
        expected = quantized(x)[branch].numpy()
        actual = files[runtime](x=x)[branch]
        assert actual.shape == expected.shape
        # The order of float32 sums differs.
        assert np.abs(actual - expected).max() <= 1e-5 * np.ptp(expected)


def test_a_model_of_three_kinds_of_layers_goes_from_float_to_two_bits_to_every_runtime(tmp_path):
    model = keras.Sequential(
        [
            keras.Input([None, WIDTH], name="x"),
            layers.Conv1D(8, 3, padding="same", activation="relu", name="conv"),
            layers.LSTM(8, return_sequences=True, name="lstm"),
            layers.Dense(4, name="dense"),
        ]
    )
    target = np.zeros([len(X), X.shape[1], 4])
    model.compile("adam", "mse")
    model.fit(X, target, verbose=0)
    quantized = tfconformer.quantize(model, {".*": INT2})
    quantized.compile("adam", "mse")
    quantized.fit(X, target, verbose=0)
    path = tmp_path / "m.tflite"
    report = converters.export(quantized, path, runtimes=RUNTIMES)
    assert {layer.name: layer.spec["bits"] for layer in report.layers} == dict.fromkeys(
        ["conv_kernel", "lstm_kernel", "lstm_recurrent_kernel", "dense_kernel"], 2
    )
    expected = quantized(X[:1]).numpy()
    for runtime in RUNTIMES:
        difference = np.abs(converters.load(path, runtime)(x=X[:1])["dense"] - expected).max()
        assert difference <= 1e-5 * np.ptp(expected)


def two_inputs() -> keras.Model:
    a, b = keras.Input([3], name="a"), keras.Input([4], dtype="int32", name="b")
    y = layers.Concatenate()([a, keras.backend.cast(b, "float32")])
    return keras.Model({"left": a, "right": b}, [layers.Dense(2, name="u")(y), layers.Dense(3, "relu", name="v")(y)])


def test_inputs_and_outputs_have_the_names_of_the_model_and_batches_are_split(tmp_path):
    quantized = tfconformer.quantize(two_inputs(), {"u": INT2, "v": None})
    given = {"left": X[:, 0, :3], "right": np.arange(12).reshape(3, 4)}
    with pytest.raises(InputError, match=r"the input b of .* is int32 \[1, 4\]: give verify_with some of its values"):
        converters.export(quantized, tmp_path / "m.tflite")
    named = {"a": given["left"], "b": given["right"]}
    report = converters.export(quantized, tmp_path / "m.tflite", verify_with=named)
    assert report.parity[0].utterances == 3
    model = converters.load(tmp_path / "m.tflite")
    assert [str(tensor) for tensor in model.graph.inputs] == ["float32 [1, 3]", "int32 [1, 4]"]
    outputs = model(a=given["left"][:1].astype("f"), b=given["right"][:1].astype("i"))
    u, v = quantized({"left": given["left"][:1], "right": given["right"][:1]})
    np.testing.assert_allclose(outputs["u"], u, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs["v"], v, rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match=r"its inputs are a, b, got a$"):
        model(a=given["left"][:1])


def test_a_dataset_verifies_and_a_float_model_is_exported_as_it_is(tmp_path):
    import tensorflow as tf

    model = keras_model(["dense"])
    data = tf.data.Dataset.from_tensor_slices((X, X)).batch(2)
    report = converters.export(model, tmp_path / "m.tflite", verify_with=data)
    assert report.parity[0].utterances == len(X)
    assert "TfconformerFullyConnected" not in report.operations


def test_the_target_of_builtin_operations(tmp_path):
    spec = QuantSpec(bits=8, activation_bits=8)
    quantized = tfconformer.quantize(keras_model(["dense", "conv1d"]), {".*": spec})
    report = converters.export(quantized, tmp_path / "m.tflite", target="litert")
    assert [layer.target for layer in report.layers] == ["litert", "litert"]
    assert "TfconformerFullyConnected" not in report.operations


def test_a_shared_layer_is_stored_once(tmp_path):
    dense = layers.Dense(WIDTH, name="dense")
    model = keras.Sequential([keras.Input([WIDTH], name="x"), dense, layers.ReLU(), dense])
    report = converters.export(tfconformer.quantize(model, {".*": INT2}), tmp_path / "m.tflite")
    assert report.operations["TfconformerFullyConnected"] == 2
    assert [layer.name for layer in report.layers] == ["dense_kernel"]


def test_a_file_that_differs_is_not_written(tmp_path, monkeypatch):
    from converters.exporter import keras_model as exporter

    quantized = tfconformer.quantize(keras_model(["dense"]), {".*": INT2})
    honest = exporter._outputs
    monkeypatch.setattr(exporter, "_outputs", lambda *given: {k: v + 0.01 for k, v in honest(*given).items()})
    with pytest.raises(VerificationError, match="away from those of the Keras model"):
        converters.export(quantized, tmp_path / "m.tflite")
    assert not (tmp_path / "m.tflite").exists()


def test_what_cannot_be_exported_is_refused(tmp_path):
    x = keras.Input([2], dtype="float64", name="x")
    for source, options, sentence in [
        (keras.Model(x, layers.ReLU()(x)), {}, "the input x has the type float64, a file has float32 and int32"),
        (keras_model(["dense"]), {"streaming": True}, "only speech models run on streams"),
        (keras_model(["dense"]), {"verify_with": X[:0]}, "at least one example"),
        (keras_model(["dense"]), {"verify_with": [X, X]}, "has 1 inputs, got 2 to verify with"),
        (tmp_path, {}, "is not a run directory"),
        (3, {}, "expected a functional or Sequential model of tf_keras, got builtins.int"),
    ]:
        with pytest.raises(InputError, match=sentence):
            converters.export(source, tmp_path / "m.tflite", **options)
