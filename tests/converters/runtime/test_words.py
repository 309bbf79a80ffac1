"""Words with times and confidence, against a logit matrix made by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from converters.flatbuffer.metadata import TaskDescription
from converters.runtime.words import Word, recognized_words
from tfconformer.data.config import TokenizerConfig
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.ctc import StreamingCTCDecoder


def test_a_hand_made_matrix_gives_words():
    """ "GO ON" in characters, of 40 ms frames: a G of two frames, a blank between N and a last one."""
    tokenizer = Tokenizer.train(["GO ON"], TokenizerConfig(model_type="char"))
    task = TaskDescription(name="recognition_ctc")
    metadata = SimpleNamespace(frame_seconds=0.04, words=tokenizer.words, task=task)
    label = {token: index for index, token in enumerate(tokenizer.tokens, start=1)}
    # A symbol and its probability in each frame; the other symbols share the rest.
    frames = [(0, 0.9), ("G", 0.6), ("G", 0.8), ("O", 0.7), ("▁", 0.99), (0, 0.9), ("O", 0.95), (0, 0.5), ("N", 0.75)]
    symbols = len(label) + 1
    probabilities = np.empty([len(frames), symbols])
    for row, (symbol, probability) in zip(probabilities, frames, strict=True):
        row[:] = (1 - probability) / (symbols - 1)
        row[label.get(symbol, 0)] = probability
    search = StreamingCTCDecoder()
    assert recognized_words(search, metadata) == ()
    search.push(np.log(probabilities))
    first, second = recognized_words(search, metadata)
    np.testing.assert_allclose([first.confidence, second.confidence], [0.7, 0.75], rtol=1e-12)
    assert first == Word("GO", 0.0, 0.16, first.confidence)
    assert second == Word("ON", 0.2, 0.36, second.confidence)
    metadata.task = TaskDescription(name="recognition_ctc", label_delay_ms=50)
    assert [(word.start, word.end) for word in recognized_words(search, metadata)] == [(0.0, 0.11), (0.15, 0.31)]
    # Later than the audio is long: the words follow each other from its beginning, a frame each at least.
    metadata.task = TaskDescription(name="recognition_ctc", label_delay_ms=900)
    assert [(word.start, word.end) for word in recognized_words(search, metadata)] == [(0.0, 0.04), (0.04, 0.08)]
