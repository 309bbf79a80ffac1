"""Training: Keras's `fit` with the data, losses, schedule and callbacks of a configuration.

A run that was interrupted continues after its last complete epoch, and ends with the same weights as an uninterrupted
run: the backup holds the model, the optimizer and the random generators of dropout, and every batch is a pure function
of (seed, batch number).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
import tf_keras as keras

from tfconformer import atomic
from tfconformer.config import Config
from tfconformer.data.pipeline import ALONE, Replicas, evaluation_batches, training_dataset, transcripts
from tfconformer.data.shards import find_shards, shards_by_set
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.errors import InputError
from tfconformer.losses.ctc import CTCLoss, InfeasibleUtterances
from tfconformer.patterns import compile_pattern
from tfconformer.quantization.apply import apply_rules, copy_float_weights, match_layers
from tfconformer.quantization.layers.quantize_wrapper import QuantizationSteps
from tfconformer.quantization.post_training.quantize import input_hessians
from tfconformer.quantization.post_training.sparse_gpt import sparse_gpt
from tfconformer.tasks import find_task
from tfconformer.training.adamw import FusedAdamW
from tfconformer.training.callbacks import DevMetric, DivergenceStop, GeneratorBackup
from tfconformer.training.checkpoint import float_model, load_model
from tfconformer.training.distillation import distilled_losses, distilled_model
from tfconformer.training.distribution import replicas_of
from tfconformer.training.post_training import calibration_inputs
from tfconformer.training.resets import GridResets
from tfconformer.training.run import RunDirectory
from tfconformer.training.schedules import WarmupCosine

logger = logging.getLogger(__name__)


def train(config: Config, run: RunDirectory) -> keras.Model:
    """Trains a model, or continues an interrupted training.

    In the scope of a strategy of `tf.distribute`, its replicas share each batch of the configuration. With several
    workers, each of which calls this function, the first one alone scores the dev sets and writes the run directory,
    to which all must have access: every other one keeps the state of its random generators there. All workers must be
    started again to continue after one of them ended.

    Training starts from random weights, or from `training.initial_weights`: the run directory of a model, whose
    tokenizer is then used too; a transducer may take its encoder from a CTC model. With quantization rules this is
    quantization-aware fine-tuning. From a quantized model it takes the float master weights, of which the pruned ones
    are zero: precision and sparsity may progress from run to run.

    Args:
      config: the configuration.
      run: the run directory; created, or continued if it holds the same configuration.

    Returns:
      The model after the last epoch; `run.weights_file` holds the weights of the best epoch.

    Raises:
      InputError: the directory holds a run of another configuration or cannot be written, no shard matches a pattern,
        the initial weights do not fit the model, the training diverges, another worker of it ended, or the strategy has
        parameter servers.
    """
    strategy = tf.distribute.get_strategy()
    if isinstance(strategy, tf.distribute.ParameterServerStrategy):
        raise InputError(
            "parameter servers train without callbacks between steps, which quantizers and schedules need: use "
            "MirroredStrategy or MultiWorkerMirroredStrategy"
        )
    try:
        with strategy.scope():
            return _train(config, run, strategy)
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            raise
        reason = " ".join(error.message.split())[:200]
        raise InputError(f"another worker of the training ended: start all again to continue ({reason})") from error


def _train(config: Config, run: RunDirectory, strategy: tf.distribute.Strategy) -> keras.Model:
    run.require(config)
    shards = find_shards(config.data.train)
    dev_sets = shards_by_set(config.data.dev)
    writes = strategy.extended.should_checkpoint
    if writes:
        atomic.require_writable(run.history_file)
    keras.utils.set_random_seed(config.training.seed)
    tokenizer = _tokenizer(config, run, shards)
    start = completed_batches(run)
    task = find_task(config.task)
    target = task.target_format(config.model)

    def batches(replicas: Replicas = ALONE) -> tf.data.Dataset:
        seed = config.training.seed
        return training_dataset(shards, tokenizer, config.features, config.data, seed, start, target, replicas)

    def examples(replicas: Replicas = ALONE) -> tf.data.Dataset:
        return batches(replicas).map(lambda inputs, labels: task.example(fitted, inputs, labels))

    model = initial_model(config, tokenizer, batches())
    fitted = distilled_model(model, config, tokenizer)
    if writes:
        run.claim(config)
        tokenizer.save(run.tokenizer_file)
    compile_model(fitted, config)
    steps = config.training.steps_per_epoch
    callbacks = [DivergenceStop(config.training), QuantizationSteps()]
    if config.training.resets is not None:
        callbacks.append(GridResets(config.training.resets))
    if writes:
        dev = {name: evaluation_batches(paths, config.features, target=target) for name, paths in dev_sets.items()}
        callbacks.append(DevMetric(run, model, dev, tokenizer, task, start // steps, config.features))
        callbacks.append(keras.callbacks.TensorBoard(run.tensorboard, profile_batch=0))
    # After the writers of weights and history: an epoch in the backup is complete.
    callbacks.append(keras.callbacks.BackupAndRestore(str(run.backup), delete_checkpoint=False))
    if not writes:
        callbacks.append(GeneratorBackup(run, strategy.cluster_resolver.task_id, start))
    fitted.fit(
        examples()
        if strategy.num_replicas_in_sync == 1
        else strategy.distribute_datasets_from_function(lambda context: examples(replicas_of(context))),
        epochs=config.training.epochs,
        steps_per_epoch=steps,
        verbose=2 if writes else 0,
        callbacks=callbacks,
    )
    return model


def compile_model(model: keras.Model, config: Config) -> None:
    """Compiles a model with the losses of its task and AdamW with warm-up, cosine decay and clipped gradients.

    Args:
      model: a model of the task, or one of `distilled_model`.
      config: the configuration of the training.
    """
    settings = config.training
    schedule = WarmupCosine(
        settings.learning_rate,
        settings.final_learning_rate,
        settings.warmup_steps,
        settings.epochs * settings.steps_per_epoch,
    )
    optimizer = FusedAdamW(
        schedule,
        weight_decay=settings.weight_decay,
        beta_2=0.98,
        global_clipnorm=settings.clip_norm,
        use_ema=settings.average is not None,
        ema_momentum=settings.average or 0.0,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "clip"])
    losses = find_task(config.task).losses(model, settings.intermediate_weight)
    if settings.distillation is not None:
        losses = distilled_losses(losses, model, settings.distillation.weight)
    aligned = [name for name, (loss, _) in losses.items() if isinstance(loss, CTCLoss)]
    model.compile(
        optimizer,
        loss={name: loss for name, (loss, _) in losses.items()},
        loss_weights={name: weight for name, (_, weight) in losses.items()},
        metrics={name: InfeasibleUtterances() for name in aligned[:1]},  # the frames of all heads are the same
    )
    # TensorFlow would trace a first step that creates variables twice.
    optimizer.build(model.trainable_variables)
    model.compiled_loss.build(model.output)


def completed_batches(run: RunDirectory) -> int:
    """Returns the number of training steps in the run's backup, 0 without a backup."""
    checkpoint = tf.train.latest_checkpoint(run.backup / "chief")
    if checkpoint is None:
        return 0
    return int(tf.train.load_variable(checkpoint, "model/optimizer/_iterations/.ATTRIBUTES/VARIABLE_VALUE"))


def _tokenizer(config: Config, run: RunDirectory, shards: Sequence[Path]) -> Tokenizer:
    """Returns the run's own tokenizer, else the initial run's, else a new one trained on the transcripts."""
    if run.tokenizer_file.is_file():
        return Tokenizer.from_file(run.tokenizer_file)
    if config.training.initial_weights:
        return Tokenizer.from_file(RunDirectory(Path(config.training.initial_weights)).tokenizer_file)
    return Tokenizer.train(transcripts(shards), config.data.tokenizer)


def initial_model(config: Config, tokenizer: Tokenizer, batches: tf.data.Dataset) -> keras.Model:
    """Builds the model that training starts from, quantized by the rules of the configuration.

    Args:
      config: the configuration.
      tokenizer: the tokenizer of the labels.
      batches: training batches ((features, lengths), labels), which decide statistics of a new model.

    Raises:
      InputError: see `train`.
    """
    model = float_model(config, tokenizer)
    if config.training.initial_weights:
        source = RunDirectory(Path(config.training.initial_weights))
        part = find_task(config.task).initializable_part(model, find_task(source.config().task))
        copy_float_weights(load_model(source), part)
    else:
        find_task(config.task).adapt(model, batches)
    if config.training.initial_pruning == "hessian":
        _prune(model, config)
    logger.info("%d weights", model.count_params())
    _freeze(model, config.training.frozen)
    return apply_rules(model, config.quantization)


def _prune(model: keras.Model, config: Config) -> None:
    """Prunes the kernels of a trained float model as the rules say, by SparseGPT on training utterances.

    Raises:
      InputError: the model is not a trained one, or no rule prunes a layer.
    """
    specs = match_layers(model, config.quantization)
    sparse = {name: spec.n_of_m for name, spec in specs.items() if spec.n_of_m is not None}
    if not sparse or not config.training.initial_weights:
        raise InputError("training.initial_pruning: hessian needs training.initial_weights and a rule with sparsity")
    hessians = input_hessians(model, calibration_inputs(config))
    for name, n_of_m in sparse.items():
        kernel = model.get_layer(name).kernel
        kernel.assign(sparse_gpt(kernel.numpy(), hessians[name], n_of_m))


def _freeze(model: keras.Model, patterns: Sequence[str]) -> None:
    """Makes the layers whose whole names match one of the regular expressions untrainable.

    Raises:
      InputError: a pattern is no regular expression, or matches no layer.
    """
    for pattern in patterns:
        expression = compile_pattern(pattern, "training.frozen:")
        matching = [layer for layer in model.layers if expression.fullmatch(layer.name)]
        if not matching:
            raise InputError(f"training.frozen: {pattern!r} matches no layer of the model")
        for layer in matching:
            layer.trainable = False
