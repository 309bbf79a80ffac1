"""The common base of the recognition tasks: recognizers in Keras and their word error rate."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.beam import BeamSearch
from tfconformer.decoding.wer import count_errors
from tfconformer.errors import InputError
from tfconformer.models.encoder import encoder_stride
from tfconformer.tasks import find_task
from tfconformer.tasks.task import DevMetric, Task

# (features [B, T, mel_bins], lengths [B]) -> labels of every utterance.
Recognizer = Callable[[Any, Any], list[list[int]]]


class RecognitionTask(Task):
    """A task whose result is text."""

    metric = "wer"

    @abstractmethod
    def recognizer(self, model: keras.Model, tokenizer: Tokenizer, search: BeamSearch | None = None) -> Recognizer:
        """Returns a recognizer that reads the weights of `model` at every call.

        Args:
          model: the training model.
          tokenizer: the tokenizer of its labels.
          search: settings of a beam search; None searches greedily.

        Raises:
          InputError: the task has no search with these settings.
        """

    def dev_metric(self, model: keras.Model, tokenizer: Tokenizer) -> DevMetric:
        """Returns the function from a dev set to its numbers of word errors and of words."""
        recognize = self.recognizer(model, tokenizer)

        def score(batches: tf.data.Dataset) -> tuple[float, float]:
            references: list[str] = []
            hypotheses: list[str] = []
            for inputs, texts, _ in batches:
                hypotheses += map(tokenizer.decode, recognize(*inputs))
                references += [text.decode("utf-8") for text in texts.numpy()]
            words, *errors = count_errors(references, hypotheses).sum(axis=0)
            return int(sum(errors)), int(words)

        return score


def encoder_frames(model: keras.Model, lengths: Any) -> np.ndarray:
    """Returns the number of encoder frames of utterances with `lengths` [B] feature frames."""
    return -(-np.asarray(lengths) // encoder_stride(model))


def recognition_task(name: str) -> RecognitionTask:
    """Returns the recognition task named `name`.

    Raises:
      InputError: there is no task of that name, or its result is not text.
    """
    task = find_task(name)
    if not isinstance(task, RecognitionTask):
        raise InputError(f"the task {name} recognizes no text")
    return task
