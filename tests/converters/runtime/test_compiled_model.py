"""LiteRT's newer interface, CompiledModel, on files of both targets."""

import numpy as np
import pytest
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.tensor_buffer import TensorBuffer

from converters.capability.layer_file import layer_graph
from converters.exporter.pack import pack_weights
from converters.exporter.pack_builtin import builtin_weights
from converters.runtime.model import open_model
from tfconformer.quantization.spec import QuantSpec

K, N, M = 64, 16, 5


def random_layer(spec):
    rng = np.random.default_rng(spec.bits)
    low, high = spec.code_range
    codes = rng.integers(low, high + 1, (K, N)).astype(np.float32)
    scales = rng.uniform(0.01, 1, (spec.blocks(K), N)).astype(np.float16).astype(np.float32)
    return codes, scales, spec


def compute(content, x):
    model = CompiledModel.from_buffer(content)
    inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
    inputs[0].write(x)
    model.run_by_index(0, inputs, outputs)
    return outputs[0].read(M * N, np.float32).reshape(M, N), model.is_fully_accelerated()


@pytest.mark.parametrize("spec", [QuantSpec(bits=2), QuantSpec(bits=4), QuantSpec(bits=8)], ids=str)
def test_it_runs_layers_of_the_target_litert(spec):
    layer = builtin_weights(*random_layer(spec))
    # Two values only, which 8-bit activations hold exactly, so that nothing but float32 sums is rounded.
    x = np.random.default_rng(0).integers(0, 2, (M, K)).astype(np.float32)
    y, accelerated = compute(layer_graph([layer], M), x)
    np.testing.assert_allclose(y, x @ layer.dequantize(), rtol=0, atol=K * 2.0**-24 * K * 2 ** (spec.bits - 1))
    assert accelerated


def test_it_runs_an_exported_recognizer(litert, waveforms):
    model = CompiledModel.from_file(str(litert.path))
    for waveform in waveforms:
        expected = open_model(litert.path).run(waveform)
        model.resize_input_tensor_by_name("transcribe", "waveform", [1, len(waveform)])
        x = model.create_input_buffer_by_name("transcribe", "waveform")
        # Its own buffer for the logits would have room for one frame, whatever the input, and be written past its end.
        y = TensorBuffer.create_from_host_memory(np.zeros([1, *expected.shape], np.float32))
        x.write(waveform[np.newaxis])
        model.run_by_name("transcribe", {"waveform": x}, {"logits": y})
        # The same runtime, the same kernels.
        np.testing.assert_array_equal(y.read(expected.size, np.float32).reshape(expected.shape), expected)


def test_it_refuses_our_operation():
    """Its Python interface takes neither delegates nor custom operations: an error, not wrong numbers."""
    content = layer_graph([pack_weights(*random_layer(QuantSpec(bits=2))[:2], None, QuantSpec(bits=2))], M)
    with pytest.raises(RuntimeError, match="Failed to allocate tensors"):
        compute(content, np.ones((M, K), np.float32))
