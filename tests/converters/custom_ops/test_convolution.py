"""Convolutions: a layer on the windows of images, through a runtime, with every kernel that this machine has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from converters.custom_ops import kernel_names
from tests.support.packed_layer import PackedLayer, random_layer
from tests.support.tflite_builder import ModelBuilder, load_with_delegate

# Images, height, width, channels, output channels, window, stride. One window of all; windows that overlap, touch and
# leave lines out; more of them than the 64 rows that are prepared at a time: chunks begin in the middle of a line.
SHAPES = [
    (1, 3, 3, 4, 5, 3, 2),
    (2, 9, 13, 3, 17, 3, 2),
    (1, 30, 11, 8, 33, 3, 2),
    (3, 7, 6, 5, 2, 2, 2),
    (1, 8, 9, 6, 20, 1, 3),
    (1, 17, 16, 2, 4, 4, 1),
]


def windows(images: NDArray[np.float32], window: int, stride: int) -> NDArray[np.float32]:
    """[images, down, across, window * window * channels], cut out one by one."""
    _, height, width, _ = images.shape
    corners = [range(0, length - window + 1, stride) for length in (height, width)]
    lines = [
        [images[:, top : top + window, left : left + window].reshape(len(images), -1) for left in corners[1]]
        for top in corners[0]
    ]
    return np.array(lines).transpose(2, 0, 1, 3)


def run(layer: PackedLayer, images: NDArray[np.float32], kernel: str, path: Path) -> NDArray[np.float32]:
    builder = ModelBuilder()
    x = builder.tensor("x", list(images.shape))
    y = builder.fully_connected(x, layer, "y", [1, 1, 1, len(layer.codes)])
    path.write_bytes(builder.build([x], [y]))
    interpreter = load_with_delegate(path, kernel, threads=2)
    interpreter.set_tensor(x, images)
    interpreter.invoke()
    return interpreter.get_tensor(y)


@pytest.mark.parametrize("kernel", kernel_names())
@pytest.mark.parametrize("int8_activations", [True, False])
@pytest.mark.parametrize(
    ("bits", "symmetric", "block_size", "kept"), [(2, False, 8, None), (4, True, 0, 2), (8, True, 0, 1)]
)
def test_windows_are_rows(bits, symmetric, block_size, kept, int8_activations, kernel, tmp_path):
    for number, (count, height, width, channels, n, window, stride) in enumerate(SHAPES):
        seed = 100 * bits + number
        print(f"seed {seed}")
        rng = np.random.default_rng(seed)
        options = {"symmetric": symmetric, "block_size": block_size, "int8_activations": int8_activations, "kept": kept}
        layer = random_layer(rng, bits, window**2 * channels, n, bias=number % 2 == 0, **options)
        layer.window, layer.stride = window, stride
        images = rng.standard_normal((count, height, width, channels)).astype(np.float32)
        rows = windows(images, window, stride)
        expected = layer.float32(rows.reshape(-1, rows.shape[-1])).reshape(*rows.shape[:3], n)
        np.testing.assert_array_equal(run(layer, images, kernel, tmp_path / "model.tflite"), expected)


def test_an_image_smaller_than_a_window_has_none(tmp_path):
    layer = random_layer(np.random.default_rng(0), 4, 36, 2)
    layer.window, layer.stride = 3, 2
    y = run(layer, np.ones((1, 2, 7, 4), np.float32), kernel_names()[0], tmp_path / "model.tflite")
    assert y.shape == (1, 0, 3, 2)
