from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.spectrogram import CausalWindows, CertainFrames, PreviousFrame


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_the_previous_frame_is_the_last_of_the_step_before() -> None:
    steps = normal(2, 3, 8)
    previous = PreviousFrame(4)(steps).numpy()
    assert not previous[:, 0].any()
    np.testing.assert_array_equal(previous[:, 1:], steps[:, :-1, 4:])


def test_causal_windows_hold_the_frame_and_those_before() -> None:
    x, before = normal(2, 5, 3), normal(2, 2, 3) + 1
    for windows, past in ((CausalWindows(3)(x), np.zeros_like(before)), (CausalWindows(3)([x, before]), before)):
        padded = np.concatenate([past, x], axis=1)
        for frame in range(5):
            np.testing.assert_array_equal(windows[:, frame], padded[:, frame : frame + 3].reshape(2, 9))


def test_the_first_certain_frames_are_drawn_only_while_training() -> None:
    keras.utils.set_random_seed(0)
    layer, batch = CertainFrames(lags=[6.25, 300.0]), tf.zeros([3, 5, 2])
    drawn = [layer(batch, training=True).numpy() for _ in range(20)]
    assert all(one.shape == (3, 1) and len(set(one.flat)) == 1 for one in drawn)
    assert {float(one[0, 0]) for one in drawn} == {6.25, 300.0}
    for unlimited in (layer(batch), CertainFrames()(batch, training=True)):
        assert unlimited.numpy().min() > 1e5
    copy = CertainFrames.from_config(layer.get_config())
    assert copy.lags == layer.lags
