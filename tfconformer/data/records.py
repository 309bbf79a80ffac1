"""The TFRecord of one utterance: serialization, parsing and audio decoding in a graph."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf
import tensorflow_io as tfio

_PCM16_SCALE = 1.0 / 32768.0


class Records(NamedTuple):
    """A batch of parsed records, every field a tensor of shape [batch].

    Attributes:
      audio: string, the bytes of a mono FLAC (16 bit), WAV (16 bit) or Ogg Vorbis file.
      samples: int64, length of the decoded audio.
      text: string, transcript in UTF-8.
      id: string, name of the utterance.
      target: string, as `audio`, the same sentence in the voice that speech is converted to; empty if there is none.
    """

    audio: tf.Tensor
    samples: tf.Tensor
    text: tf.Tensor
    id: tf.Tensor
    target: tf.Tensor


def serialize(
    audio: bytes,
    samples: int,
    sample_rate: int,
    text: str,
    speaker: str,
    utterance_id: str,
    target: tuple[bytes, int] | None = None,
) -> bytes:
    """Serializes one utterance as a `tf.train.Example`.

    Args:
      audio: bytes of a mono FLAC (16 bit), WAV (16 bit) or Ogg Vorbis file.
      samples: length of the decoded audio.
      sample_rate: in Hz.
      text: transcript.
      speaker: identifier of the speaker.
      utterance_id: name of the utterance.
      target: bytes and length in samples of the same sentence in the voice that speech is converted to.
    """
    features = {
        "audio": _bytes(audio),
        "text": _bytes(text.encode("utf-8")),
        "speaker": _bytes(speaker.encode("utf-8")),
        "id": _bytes(utterance_id.encode("utf-8")),
        "samples": tf.train.Feature(int64_list=tf.train.Int64List(value=[samples])),
        "duration": tf.train.Feature(float_list=tf.train.FloatList(value=[samples / sample_rate])),
    }
    if target is not None:
        features["target"] = _bytes(target[0])
        features["target_samples"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[target[1]]))
    return bytes(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True))


def parse(serialized: tf.Tensor) -> Records:
    """Parses a [batch] string tensor of records; the audio stays encoded."""
    string = tf.io.FixedLenFeature([], tf.string)
    schema = {"audio": string, "samples": tf.io.FixedLenFeature([], tf.int64), "text": string, "id": string}
    schema["target"] = tf.io.FixedLenFeature([], tf.string, "")
    return Records(**tf.io.parse_example(serialized, schema))


def parse_samples(serialized: tf.Tensor) -> tf.Tensor:
    """Returns the length in samples of one record, of its longer side in a pair, as a scalar int32."""
    schema = {"samples": tf.io.FixedLenFeature([], tf.int64), "target_samples": tf.io.FixedLenFeature([], tf.int64, 0)}
    lengths = tf.io.parse_single_example(serialized, schema)
    return tf.cast(tf.maximum(lengths["samples"], lengths["target_samples"]), tf.int32)


def decode_audio(audio: tf.Tensor) -> tf.Tensor:
    """Decodes one mono audio file, whose first four bytes identify the format.

    Args:
      audio: scalar string, bytes of a FLAC (16 bit), WAV (16 bit) or Ogg Vorbis file.

    Returns:
      [samples] float32 in [-1, 1).
    """
    magic = tf.strings.substr(audio, 0, 4)

    def pcm16(decoder) -> tf.Tensor:  # type: ignore[no-untyped-def]
        return tf.cast(decoder(audio, dtype=tf.int16)[:, 0], tf.float32) * _PCM16_SCALE

    return tf.case(
        [
            (tf.equal(magic, b"RIFF"), lambda: pcm16(tfio.audio.decode_wav)),
            (tf.equal(magic, b"fLaC"), lambda: pcm16(tfio.audio.decode_flac)),
        ],
        default=lambda: tfio.audio.decode_vorbis(audio)[:, 0],
    )


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
