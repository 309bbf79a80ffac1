"""AdamW whose step is one operation per weight."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.registry import register


@register
class FusedAdamW(keras.optimizers.AdamW):
    """Keras's AdamW (1711.05101) with TensorFlow's fused operation in place of a dozen for every weight.

    It has the configuration, the variables and, but for rounding, the results of Keras's, whose checkpoints it
    continues. Sparse gradients, those of an embedding, are applied as dense ones, which Keras does in effect too.
    """

    def build(self, var_list: list[tf.Variable]) -> None:
        """Creates the moments of the weights.

        Raises:
          ValueError: `amsgrad` is set, which the operation lacks.
        """
        if self.amsgrad:
            raise ValueError("FusedAdamW has no amsgrad")
        super().build(var_list)

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Updates a weight and its moments with its gradient."""
        index = self._index_dict[self._var_key(variable)]
        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=tf.cast(self.learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.convert_to_tensor(gradient),
        )
