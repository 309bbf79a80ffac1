"""Registration of the project's Keras classes, so that saved configurations name them as `tfconformer>Class`."""

from __future__ import annotations

import tf_keras as keras

register = keras.saving.register_keras_serializable(package="tfconformer")
