from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from tfconformer.data import records

RATE = 16000


def encoded(samples: int, kind: str, subtype: str) -> tuple[bytes, np.ndarray]:
    """A file's bytes and what soundfile decodes from them."""
    wave = (np.random.default_rng(samples).standard_normal(samples) * 8000).clip(-32768, 32767).astype(np.int16)
    stream = io.BytesIO()
    soundfile.write(stream, wave, RATE, format=kind, subtype=subtype)
    return stream.getvalue(), soundfile.read(io.BytesIO(stream.getvalue()), dtype="float32")[0]


@pytest.mark.parametrize("samples", [1, 399, 4096, 40001])
@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_lossless_formats_decode_bit_exactly(kind: str, samples: int) -> None:
    content, expected = encoded(samples, kind, "PCM_16")
    np.testing.assert_array_equal(records.decode_audio(tf.constant(content)), expected)


def test_vorbis_decodes_like_libvorbis() -> None:
    content, expected = encoded(40001, "OGG", "VORBIS")
    # Two float32 implementations of one transform: rounding, of values up to 1.
    np.testing.assert_allclose(records.decode_audio(tf.constant(content)), expected, rtol=0, atol=1e-6)


def test_a_graph_tells_the_formats_apart() -> None:
    files = [encoded(1000 + i, kind, sub) for i, (kind, sub) in enumerate([("FLAC", "PCM_16"), ("WAV", "PCM_16")] * 2)]
    dataset = tf.data.Dataset.from_tensor_slices([content for content, _ in files]).map(records.decode_audio)
    for decoded, (_, expected) in zip(dataset.as_numpy_iterator(), files, strict=True):
        np.testing.assert_array_equal(decoded, expected)


def test_a_record_reads_back() -> None:
    record = records.serialize(b"RIFFxx", 1234, RATE, "GRÜEZI WELT", "speaker", "id-1")
    assert records.serialize(b"RIFFxx", 1234, RATE, "GRÜEZI WELT", "speaker", "id-1") == record
    fields = records.parse(tf.constant([record]))
    assert [field.numpy()[0] for field in fields] == [b"RIFFxx", 1234, "GRÜEZI WELT".encode(), b"id-1", b""]
    assert records.parse_samples(tf.constant(record)) == 1234
    example = tf.train.Example.FromString(record).features.feature
    assert example["speaker"].bytes_list.value[0] == b"speaker"
    assert example["duration"].float_list.value[0] == np.float32(1234 / RATE)
