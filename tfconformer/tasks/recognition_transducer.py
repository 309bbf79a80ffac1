"""Recognition with a transducer (Graves 2012, 1211.3711) after the Conformer encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.beam import BeamSearch
from tfconformer.decoding.transducer import (
    Alignment,
    StepNetwork,
    StreamingTransducerDecoder,
    beam_search,
    best_hypothesis,
    check_beam_search,
    greedy_search,
    path_logits,
)
from tfconformer.errors import InputError
from tfconformer.layers.dense import float_layers
from tfconformer.losses.transducer import TransducerLoss
from tfconformer.models.config import ModelConfig
from tfconformer.models.transducer import SCORES, Transducer, conformer_transducer, shared_with_ctc, transducer_parts
from tfconformer.tasks.graphs import AudioGraph, Floats, GraphCalls, StepGraph
from tfconformer.tasks.recognition import RecognitionTask, Recognizer, encoder_frames
from tfconformer.tasks.recognition_ctc import CTCRecognition, with_intermediate_ctc
from tfconformer.tasks.task import Setting, Task, Trace


class TransducerRecognition(RecognitionTask):
    """Recognition with a transducer after the Conformer encoder."""

    name = "recognition_transducer"

    def build(self, config: ModelConfig, mel_bins: int, vocabulary: int) -> keras.Model:
        """Builds encoder, prediction network and joint network, see `Task.build`."""
        if config.transducer is None:
            raise InputError(f"the task {self.name} needs the section model.transducer")
        return conformer_transducer(config, mel_bins, vocabulary)

    def example(
        self, model: keras.Model, inputs: tuple[tf.Tensor, tf.Tensor], labels: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, ...], dict[str, tf.Tensor]]:
        """Makes the labels an input, of the prediction network, and the target of every output, see `Task.example`."""
        return (*inputs, labels), dict.fromkeys(model.output, labels)

    def losses(self, model: keras.Model, auxiliary_weight: float) -> dict[str, tuple[keras.losses.Loss, float]]:
        """Returns the transducer loss and, if there is an intermediate head, its CTC loss, see `Task.losses`."""
        loss = TransducerLoss(float_layers(model)["joint_head"].durations)
        return with_intermediate_ctc(model, SCORES, loss, auxiliary_weight)

    def initializable_part(self, model: keras.Model, source: Task) -> keras.Model:
        """Returns the encoder if `source` is CTC recognition, else the whole model."""
        return shared_with_ctc(model) if isinstance(source, CTCRecognition) else model

    def exported_part(self, trained: keras.Model, streaming: bool) -> keras.Model:
        """Returns the model without its intermediate CTC head, see `Task.exported_part`."""
        return keras.Model(trained.inputs, {SCORES: trained.output[SCORES]}, name=trained.name)

    def graphs(self, exported: keras.Model) -> tuple[AudioGraph, tuple[StepGraph, ...]]:
        """Lists the encoder, and as step graphs the prediction and the joint network for one hypothesis."""
        parts = transducer_parts(exported)
        joint = int(parts.joint.inputs[0].shape[-1])

        def predict(label: tf.Tensor, state: tf.Tensor) -> dict[str, tf.Tensor]:
            predicted, *new_state = parts.prediction([label[:, tf.newaxis], *tf.unstack(state, axis=1)])
            return {"prediction": tf.reshape(predicted, [1, joint]), "state": tf.stack(new_state, axis=1)}

        def join(encoding: tf.Tensor, prediction: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"logits": parts.joint([encoding, prediction])}

        label = tf.TensorSpec([1], tf.int32, "label")
        state = tf.TensorSpec([1, *parts.state_shape], tf.float32, "state")
        encoding, prediction = (tf.TensorSpec([1, joint], tf.float32, name) for name in ("encoding", "prediction"))
        logits = tf.TensorSpec([1, parts.vocabulary + 1 + len(parts.durations)], tf.float32, "logits")
        steps = (
            StepGraph("predict", (label, state), (prediction,), ("state",), predict, (parts.prediction,)),
            StepGraph("join", (encoding, prediction), (logits,), (), join, (parts.joint,)),
        )
        return AudioGraph("encode", parts.encoder, "encoded"), steps

    def describe(self, exported: keras.Model) -> dict[str, Setting]:
        """Returns the search and its settings for the metadata.

        With durations the search has a name of its own, so that a program that lacks it refuses the file.
        """
        parts = transducer_parts(exported)
        settings: dict[str, Setting] = {"vocabulary": parts.vocabulary, "max_symbols": parts.max_symbols}
        if parts.durations:
            return {"search": "tdt", **settings, "durations": parts.durations}
        return {"search": "transducer", **settings}

    def recognizer(self, model: keras.Model, tokenizer: Tokenizer, search: BeamSearch | None = None) -> Recognizer:
        """Returns a greedy or beam search recognizer, see `RecognitionTask.recognizer`."""
        transducer = Transducer(model)
        if search is None:
            return lambda features, lengths: (
                greedy_search(
                    transducer,
                    transducer.encode(features, lengths),
                    encoder_frames(model, lengths),
                    max_symbols=transducer.max_symbols,
                ).labels
            )
        if search.language_model is not None:
            raise InputError("the search through a transducer takes no language model: its prediction network is one")
        check_beam_search(transducer)
        hotwords = search.hotword_tree(tokenizer)

        def best(encodings: np.ndarray) -> list[int]:
            settings = search.width, transducer.max_symbols, hotwords
            beam = beam_search(transducer, encodings, None, *settings)
            return list(best_hypothesis(beam, hotwords).labels)

        return lambda features, lengths: [
            best(encodings[:count])
            for encodings, count in zip(
                transducer.encode(features, lengths), encoder_frames(model, lengths), strict=True
            )
        ]

    def trace(self, graphs: GraphCalls, waveform: Floats, path: Any = None) -> Trace:
        """Traces the logits at every node of a path through the lattice, see `Task.trace`.

        The default path is that of greedy search. The logits depend on every graph, and on the state that is passed
        from label to label.
        """
        encodings, network = graphs.run(waveform), StepNetwork(graphs, durations=graphs.settings.get("durations", ()))
        search = StreamingTransducerDecoder(network, max_symbols=graphs.settings["max_symbols"])
        search.push(encodings)
        own = Alignment(tuple(search.ids), tuple(search.starts))
        values = path_logits(network, encodings, own if path is None else path)
        labelled = (search.starts[0], search.ends[-1]) if search.ids else None
        return Trace(np.asarray(values), own.labels, own if path is None else path, labelled)


TASK = TransducerRecognition()
