"""Recognition with a CTC head (Graves et al. 2006) on the Conformer encoder."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.beam import BeamSearch
from tfconformer.decoding.ctc import StreamingCTCDecoder, greedy_decode
from tfconformer.decoding.ctc_beam import BeamDecoder
from tfconformer.errors import InputError
from tfconformer.layers.dense import float_layer
from tfconformer.losses.ctc import CTCLoss
from tfconformer.models.config import ModelConfig
from tfconformer.models.ctc import conformer_ctc
from tfconformer.tasks.graphs import AudioGraph, Floats, GraphCalls, StepGraph
from tfconformer.tasks.recognition import RecognitionTask, Recognizer, encoder_frames
from tfconformer.tasks.task import Trace

LOGITS, INTERMEDIATE = "logits", "intermediate"
HEAD = "ctc_head"


class CTCRecognition(RecognitionTask):
    """Recognition with a CTC head on the Conformer encoder."""

    name = "recognition_ctc"

    def build(self, config: ModelConfig, mel_bins: int, vocabulary: int) -> keras.Model:
        """Builds the encoder with a CTC head, see `Task.build`."""
        if config.transducer is not None:
            raise InputError(f"the task {self.name} has no use for the section model.transducer")
        return conformer_ctc(config, mel_bins, vocabulary)

    def example(
        self, model: keras.Model, inputs: tuple[tf.Tensor, tf.Tensor], labels: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, ...], dict[str, tf.Tensor]]:
        """Makes the labels the target of every CTC head, see `Task.example`."""
        return inputs, dict.fromkeys(model.output, labels)

    def losses(self, model: keras.Model, auxiliary_weight: float) -> dict[str, tuple[keras.losses.Loss, float]]:
        """Returns a CTC loss for every head, see `Task.losses`."""
        return with_intermediate_ctc(model, LOGITS, CTCLoss(name=f"{LOGITS}_loss"), auxiliary_weight)

    def distillable(self, model: keras.Model) -> list[str]:
        """Returns the names of all CTC heads, see `Task.distillable`."""
        return list(model.output)

    def exported_part(self, trained: keras.Model, streaming: bool) -> keras.Model:
        """Returns the model up to its CTC head, see `Task.exported_part`.

        In a stream, frames after the end of the utterance are forced blanks. A single whole utterance has no such
        frames, so an offline file contains no mask.
        """
        if streaming:
            return keras.Model(trained.inputs, trained.output[LOGITS], name=trained.name)
        (head,) = (layer for layer in trained.layers if float_layer(layer).name == HEAD)
        return keras.Model(trained.inputs, head.output, name=trained.name)

    def graphs(self, exported: keras.Model) -> tuple[AudioGraph, tuple[StepGraph, ...]]:
        """Lists the graph from audio to logits, the only one."""
        return AudioGraph("transcribe", exported, LOGITS), ()

    def describe(self, exported: keras.Model) -> dict[str, int | float | str]:
        """Returns the search and the vocabulary size for the metadata."""
        return {"search": "ctc", "vocabulary": int(exported.output.shape[-1]) - 1}

    def recognizer(self, model: keras.Model, tokenizer: Tokenizer, search: BeamSearch | None = None) -> Recognizer:
        """Returns a greedy or beam search recognizer, see `RecognitionTask.recognizer`; padding decodes as blanks."""
        # Not `Model.predict`, which under a strategy computes the batch on every replica and joins the results.
        predict = tf.function(lambda inputs: model(inputs, training=False)[LOGITS], reduce_retracing=True)

        def logits(features: Any, lengths: Any) -> Any:
            return predict([tf.convert_to_tensor(features), tf.convert_to_tensor(lengths)]).numpy()

        if search is None:
            return lambda features, lengths: list(map(greedy_decode, logits(features, lengths)))
        model_and_weight = search.language_model, search.language_model_weight
        decoder = BeamDecoder(tokenizer.tokens, search.width, *model_and_weight, search.hotword_tree(tokenizer))
        return lambda features, lengths: [
            decoder.decode(one[:count])
            for one, count in zip(logits(features, lengths), encoder_frames(model, lengths), strict=True)
        ]

    def trace(self, graphs: GraphCalls, waveform: Floats, path: Any = None) -> Trace:
        """Traces the logits [frames, vocabulary + 1] and the labels of greedy search, see `Task.trace`."""
        logits, search = graphs.run(waveform), StreamingCTCDecoder()
        search.push(logits)
        labelled = (search.starts[0], search.ends[-1]) if search.ids else None
        return Trace(logits, tuple(search.ids), labelled=labelled)


def with_intermediate_ctc(
    model: keras.Model, output: str, loss: keras.losses.Loss, auxiliary_weight: float
) -> dict[str, tuple[keras.losses.Loss, float]]:
    """Returns the losses of an output and, if the model has one, of the intermediate CTC head (2102.03216).

    Args:
      model: the training model.
      output: the name of the output.
      loss: its loss.
      auxiliary_weight: weight of the intermediate loss, in [0, 1); the weights sum to 1.
    """
    if INTERMEDIATE not in model.output:
        return {output: (loss, 1.0)}
    intermediate = CTCLoss(name=f"{INTERMEDIATE}_loss")
    return {INTERMEDIATE: (intermediate, auxiliary_weight), output: (loss, 1.0 - auxiliary_weight)}


TASK = CTCRecognition()
