"""What a streaming `.tflite` says about its streams, as JSON in its metadata under the key "streaming".

    {"sample_rate": 16000, "step_samples": 640, "frame_samples": 640, "delay_frames": 0, "flush_samples": 0,
     "output": "logits",
     "states": [{"name": "block_00_attention_key", "shape": [1, 64, 128], "dtype": "float32"}, ...]}

With it an app needs no side file. A stream begins with all states zero. Every call of the signature `encode_step` takes
the next `step_samples` samples, `count` = `step_samples`, and the states. It returns the logits of
`step_samples / frame_samples` frames, the number of `frames` that the utterance has so far, and every state under the
name under which the next call takes it. At the end of the utterance the rest, filled up with zeros, goes into `flush`
with `count` set to its real samples, and then `flush_samples` zeros with `count` 0, in steps. `flush` is the graph of
`encode_step` under another name. The logits are `delay_frames` late; those before the first frame of the utterance and
behind its last are certain blanks.

A transducer has encodings in place of the logits; its `output` is `encoded`. Those before the first frame and behind
the last mean nothing. `transducer_description.py` says what becomes of the others.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import NonNegativeInt, PositiveInt, model_validator

from converters.flatbuffer.description import Record

STEP, FLUSH = "encode_step", "flush"
AUDIO, COUNT, FRAMES = "audio", "count", "frames"
LOGITS, ENCODED = "logits", "encoded"  # the output: of CTC, of a transducer
POSITION, RECEIVED = "position", "received"  # states: samples that went through, and how many of them were real
KEY = "streaming"


class StreamState(Record):
    """A tensor that goes from one step to the next; zero at the start."""

    name: str
    shape: tuple[PositiveInt, ...]
    dtype: Literal["float32", "int32"]

    @property
    def bytes(self) -> int:
        """What it takes."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


class StreamDescription(Record):
    """A streaming file.

    Attributes:
      sample_rate: of the audio, in Hz.
      step_samples: samples per step.
      frame_samples: samples per frame of logits; divides `step_samples`.
      delay_frames: by which the logits lag: after n steps, frames up to n step_samples / frame_samples - delay_frames
        are out.
      flush_samples: samples that must follow the last one until all frames are out.
      output: name of the frames among the outputs.
      states: the tensors that go round.
    """

    sample_rate: PositiveInt
    step_samples: PositiveInt
    frame_samples: PositiveInt
    delay_frames: NonNegativeInt
    flush_samples: NonNegativeInt
    output: Literal["logits", "encoded"] = "logits"
    states: tuple[StreamState, ...]

    @model_validator(mode="after")
    def _consistent(self) -> StreamDescription:
        if self.step_samples % self.frame_samples or self.flush_samples % self.step_samples:
            raise ValueError("a step holds whole frames, and a flush whole steps")
        counters = {state.name for state in self.states if (state.shape, state.dtype) == ((1,), "int32")}
        if not {POSITION, RECEIVED} <= counters:
            raise ValueError(f"there is no int32 state {POSITION!r}, or no {RECEIVED!r}")
        return self

    @property
    def delay_seconds(self) -> float:
        """From the beginning of a frame until its logits are out, at most: its step must be full, and the delay."""
        return (self.step_samples + self.delay_frames * self.frame_samples) / self.sample_rate

    @property
    def step_frames(self) -> int:
        """Frames of logits per step."""
        return self.step_samples // self.frame_samples

    @property
    def state_bytes(self) -> int:
        """What all states take."""
        return sum(state.bytes for state in self.states)
