"""Training on several devices and machines by `tf.distribute`.

Every replica computes a part of each batch (`data.pipeline.Replicas`), gradients are added up, and the variables are
the same everywhere. `train` runs under the strategy in whose scope it is called; this module makes that of a process.
"""

from __future__ import annotations

import json
import os

import tensorflow as tf

from tfconformer.data.pipeline import Replicas
from tfconformer.errors import InputError


def process_strategy(replicas: int | None = None) -> tf.distribute.Strategy:
    """Makes the strategy of this process; to be called before any other use of TensorFlow.

    With the environment variable `TF_CONFIG`, which names the processes of a training as TensorFlow documents it, the
    process is one worker of several. Else the replicas are those of this machine.

    Args:
      replicas: number of replicas in this process, on as many GPUs or, without GPUs, logical CPUs; None takes all GPUs,
        or one CPU.

    Raises:
      InputError: `TF_CONFIG` is not understood, or the machine has fewer GPUs than replicas.
    """
    gpus = tf.config.list_physical_devices("GPU")
    count = replicas or max(1, len(gpus))
    if gpus and count > len(gpus):
        raise InputError(f"{count} replicas need as many GPUs, this machine has {len(gpus)}")
    if count > 1 and not gpus:
        logical = [tf.config.LogicalDeviceConfiguration()] * count
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], logical)
    if "TF_CONFIG" in os.environ:
        if count > max(1, len(gpus)):
            raise InputError(f"a worker of TF_CONFIG has one replica for each GPU, or one CPU; got {count} replicas")
        _check_cluster(os.environ["TF_CONFIG"])
        return tf.distribute.MultiWorkerMirroredStrategy()
    if count == 1:
        return tf.distribute.get_strategy()
    kind = "GPU" if gpus else "CPU"
    return tf.distribute.MirroredStrategy([f"{kind}:{index}" for index in range(count)])


def replicas_of(context: tf.distribute.InputContext) -> Replicas:
    """Returns the replicas that an input pipeline feeds."""
    local = context.num_replicas_in_sync // context.num_input_pipelines
    return Replicas(context.num_replicas_in_sync, context.input_pipeline_id * local, local)


def _check_cluster(text: str) -> None:
    """Checks what TensorFlow would report as a KeyError or a hanging connection.

    Raises:
      InputError: `TF_CONFIG` is no JSON, names no workers, or not this process among them.
    """
    example = '{"cluster": {"worker": ["host1:12345", "host2:12345"]}, "task": {"type": "worker", "index": 0}}'
    try:
        tree = json.loads(text)
        cluster, task = tree["cluster"], tree["task"]
        addresses = cluster[task["type"]]
        known = isinstance(addresses, list) and 0 <= task["index"] < len(addresses)
    except (ValueError, KeyError, TypeError, IndexError):
        known = False
    if not known:
        raise InputError(f"TF_CONFIG should name the workers and this process among them, like {example}; got {text!r}")
