"""Live conversion: audio in any pieces gives what the whole gives, within bounds, and bad audio changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import soxr

from converters.runtime.stream_model import open_stream
from converters.streaming.endpoint import EndpointRule
from converters.streaming.online_converter import OnlineConverter
from tests.conftest import Conversion
from tfconformer.decoding.ctc import greedy_decode
from tfconformer.decoding.onset import LEAD_FRAMES, spoken_frames
from tfconformer.decoding.spectrogram import Pace, convert
from tfconformer.decoding.vocoder import NeuralVocoder, vocode
from tfconformer.errors import InputError

pytestmark = pytest.mark.usefixtures("native_library")
RATE = 16000


@pytest.fixture
def converter(conversion: Conversion) -> OnlineConverter:
    return OnlineConverter(conversion.path)


def feed(converter: OnlineConverter, rate: int, waveform: np.ndarray, size: int) -> np.ndarray:
    for start in range(0, len(waveform), size):
        converter.accept_waveform(rate, waveform[start : start + size])
        converter.convert()
        assert not len(converter.read_audio())  # it speaks after the end
    converter.input_finished()
    converter.convert()
    return converter.read_audio()


def test_pieces_of_any_size_are_converted_like_the_whole(
    conversion: Conversion, converter: OnlineConverter, waveforms: list[np.ndarray]
) -> None:
    model = open_stream(conversion.path)
    encoded = model.run(waveforms[0])
    spoken = spoken_frames(encoded, encoded[:, 16:])
    converted = convert(model, spoken)
    expected = vocode(NeuralVocoder(model), converted.spectrogram.reshape(-1, 8))
    for size in (333, 10**6):
        audio = feed(converter, RATE, waveforms[0], size)
        assert converter.text == model.metadata.text(greedy_decode(encoded[:, 16:])) != ""
        if converted.stopped:
            np.testing.assert_allclose(audio, expected, atol=1e-5)
        else:
            assert len(audio) == 2 * 2 * len(spoken) * 160
            np.testing.assert_allclose(audio[:4000], expected[:4000], atol=1e-5)
        converter.reset()


@pytest.mark.parametrize("size", [333, 10**6])
def test_behind_the_speaker_it_speaks_before_the_end(
    conversion: Conversion, waveforms: list[np.ndarray], size: int
) -> None:
    converter = OnlineConverter(conversion.path, lag=0.16)
    # A step of the decoder is two hops of 10 ms, a frame of the encoder 40 ms.
    assert converter.pace == Pace(4.0, 0.5)
    encoded = converter.model.run(waveforms[2])
    converter.reset()
    spoken = spoken_frames(encoded, encoded[:, 16:])
    expected = convert(converter.model, spoken, pace=converter.pace)
    early = 0
    for start in range(0, len(waveforms[2]), size):
        converter.accept_waveform(RATE, waveforms[2][start : start + size])
        converter.convert()
        if start + size < len(waveforms[2]):
            early = len(converter._audio)
    converter.input_finished()
    converter.convert()
    assert early > 10 or size > RATE
    speech = vocode(NeuralVocoder(converter.model), expected.spectrogram.reshape(-1, 8))
    audio = converter.read_audio()
    assert len(audio) > RATE
    # Of a decoder without training the phase of the voice drifts by rounding, as the pitch has no meaning.
    np.testing.assert_allclose(audio[:4000], speech[:4000], atol=1e-5)
    assert converter._steps == min(expected.steps, 2 * len(spoken))


def test_a_lag_is_positive(conversion: Conversion) -> None:
    for lag in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="the lag should be a positive number of seconds"):
            OnlineConverter(conversion.path, lag=lag)


def test_silence_before_speech_is_not_decoded(conversion: Conversion, waveforms: list[np.ndarray]) -> None:
    converter = OnlineConverter(conversion.path)
    Undecided(converter, 0.0)
    feed(converter, RATE, np.concatenate([np.zeros(3 * RATE, np.float32), waveforms[0]]), 5000)
    first = converter._search.starts[0]
    assert converter._decoder.received == converter._search.frames - max(first - LEAD_FRAMES, 0)


def test_another_rate_is_converted(converter: OnlineConverter, waveforms: list[np.ndarray]) -> None:
    audio = feed(converter, RATE, waveforms[0], 1000)
    converter.reset()
    other = feed(converter, 48000, soxr.resample(waveforms[0], RATE, 48000), 4800)
    assert 0.8 < len(other) / len(audio) < 1.25


class Undecided:
    """The steps of a file whose decoder never ends, or ends in NaN."""

    def __init__(self, converter: OnlineConverter, frames: float) -> None:
        self._call, self._frames = converter.model.call, frames
        converter.model.call = self.call

    def call(self, signature: str, inputs: dict) -> dict:
        outputs = self._call(signature, inputs)
        if signature == "decode_step":
            outputs["stop"][:] = -1.0
            outputs["frames"][:] = self._frames
        return outputs


def test_a_decoder_that_never_stops_is_cut_off(converter: OnlineConverter, waveforms: list[np.ndarray]) -> None:
    encoded = converter.model.run(waveforms[0])
    frames = len(spoken_frames(encoded, encoded[:, 16:]))
    converter.reset()
    Undecided(converter, 0.0)
    audio = feed(converter, RATE, waveforms[0], 5000)
    assert converter.was_cut_off
    assert len(audio) == 2 * frames * 2 * 160  # twice the frames, in steps of two hops


def test_values_that_are_not_finite_are_one_sentence(converter: OnlineConverter, waveforms: list[np.ndarray]) -> None:
    Undecided(converter, np.nan)
    with pytest.raises(InputError, match="it computes values that are not finite"):
        feed(converter, RATE, waveforms[0], 5000)


def test_audio_comes_step_by_step(converter: OnlineConverter, waveforms: list[np.ndarray]) -> None:
    expected = feed(converter, RATE, waveforms[0], 5000)
    converter.reset()
    converter.accept_waveform(RATE, waveforms[0])
    converter.input_finished()
    pieces = []
    while converter.advance():
        pieces.append(converter.read_audio())
    np.testing.assert_array_equal(np.concatenate(pieces), expected)
    assert max(map(len, pieces)) < 2000


def test_where_nothing_is_said_nothing_is_spoken(converter: OnlineConverter) -> None:
    for audio in (np.zeros(0, np.float32), np.zeros(100, np.float32)):
        assert not len(feed(converter, RATE, audio, 50))
        converter.reset()
    assert not converter.was_cut_off


@pytest.mark.parametrize(
    ("rate", "samples", "message"),
    [
        (RATE, np.full(100, np.nan, np.float32), "sample 0 of the audio is not finite"),
        (RATE, np.ones(100, np.int16), "floating-point numbers"),
        (RATE, np.full(100, 1e4, np.float32), "divide 16-bit numbers"),
        (RATE, np.zeros([2, 100], np.float32), "shape"),
        (0, np.zeros(100, np.float32), "rate should be positive"),
    ],
)
def test_bad_audio_changes_nothing(
    converter: OnlineConverter, waveforms: list[np.ndarray], rate: int, samples: np.ndarray, message: str
) -> None:
    expected = feed(converter, RATE, waveforms[0], 5000)
    converter.reset()
    with pytest.raises(InputError, match=message):
        converter.accept_waveform(rate, samples)
    np.testing.assert_array_equal(feed(converter, RATE, waveforms[0], 5000), expected)
    with pytest.raises(InputError, match="reset the converter before more audio"):
        converter.accept_waveform(RATE, waveforms[0])


def test_utterances_end_by_rules_so_that_memory_is_bounded(conversion: Conversion, waveforms: list[np.ndarray]) -> None:
    converter = OnlineConverter(conversion.path, rules=(EndpointRule(False, 0.0, 0.5),))
    longest, utterances = 0, 0
    for _ in range(3):
        for start in range(0, 32000, 4000):
            converter.accept_waveform(RATE, waveforms[2][start : start + 4000])
            converter.convert()
            longest = max(longest, len(converter._decoder._frames))
            if converter.is_endpoint:
                utterances += 1
                converter.reset()
    assert longest < 25
    assert utterances > 5
