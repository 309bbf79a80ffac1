"""Export of Keras models of any kind of layer: the file computes what the model does, in every runtime."""

import numpy as np
import pytest
import tf_keras as keras

import converters
import tfconformer
from converters.runtime.tensor_model import load
from tests.support.keras_kinds import BRANCHES, inputs, keras_model
from tfconformer import QuantSpec

layers = keras.layers
RUNTIMES = ("ai-edge-litert", "tflite-runtime", "tensorflow")
INT2 = QuantSpec(bits=2, symmetric=False, block_size=8, clip=0.8)
X = inputs()


@pytest.fixture(scope="module")
def quantized():
    return tfconformer.quantize(keras_model(), {"image": None, ".*": INT2})


@pytest.fixture(scope="module")
def report(quantized, tmp_path_factory):
    return converters.export(quantized, tmp_path_factory.mktemp("kinds") / "m.tflite", verify_with=X, runtimes=RUNTIMES)


@pytest.fixture(scope="module")
def files(report):
    return {runtime: load(report.path, runtime) for runtime in RUNTIMES}


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
