"""Live recognition: audio in any pieces gives what the whole gives, and bad audio changes nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import soxr

from converters.runtime.stream_model import open_stream
from converters.streaming.endpoint import EndpointRule, endpoint_rules
from converters.streaming.online_converter import OnlineConverter
from converters.streaming.online_recognizer import OnlineRecognizer
from tests.support.tiny_conformer import tiny_tokenizer
from tfconformer.decoding.ctc import greedy_decode
from tfconformer.errors import InputError

pytestmark = pytest.mark.usefixtures("native_library")
RATE = 16000
NEVER = (EndpointRule(False, 1e9, 0.0),)


@pytest.fixture
def recognizer(late_stream) -> OnlineRecognizer:
    return OnlineRecognizer(late_stream.path, rules=NEVER)


def whole_text(path, waveform) -> str:
    return tiny_tokenizer().decode(greedy_decode(open_stream(path).run(waveform)))


def feed(recognizer, rate, waveform, size):
    for start in range(0, len(waveform), size):
        recognizer.accept_waveform(rate, waveform[start : start + size])
        recognizer.decode()
        assert not recognizer.result.is_final
    recognizer.input_finished()
    recognizer.decode()
    assert recognizer.result.is_final
    return recognizer.result


@pytest.mark.parametrize("size", [1, 33, 640, 5000, 10**6])
def test_pieces_of_any_size_give_the_text_of_the_whole(recognizer, late_stream, waveforms, size):
    waveform = waveforms[0] if size == 1 else waveforms[2]
    result = feed(recognizer, RATE, waveform, size)
    assert result.text == whole_text(late_stream.path, waveform)
    assert result.text, "a random model that says nothing tests nothing"
    assert len(result.tokens) == len(result.timestamps)
    assert all(0 <= time < len(waveform) / RATE for time in result.timestamps)
    assert list(result.timestamps) == sorted(result.timestamps)


def test_text_only_grows(recognizer, waveforms):
    texts = []
    for start in range(0, len(waveforms[2]), 800):
        recognizer.accept_waveform(RATE, waveforms[2][start : start + 800])
        recognizer.decode()
        texts.append("".join(recognizer.result.tokens))
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    assert len(set(texts)) > 3


def test_nothing_said_is_nothing_heard(recognizer):
    recognizer.accept_waveform(RATE, np.zeros(0, np.float32))
    recognizer.input_finished()
    recognizer.decode()
    assert recognizer.result.text == "" and recognizer.result.is_final


@pytest.mark.parametrize("size", [7, 4410])
def test_another_sample_rate_is_converted(recognizer, late_stream, waveforms, size):
    rate = 44100
    waveform = soxr.resample(waveforms[1], RATE, rate)
    back = soxr.ResampleStream(rate, RATE, 1).resample_chunk(waveform, last=True)
    assert len(back) == len(waveforms[1])
    assert feed(recognizer, rate, waveform, size).text == whole_text(late_stream.path, back)


def test_the_next_utterance_begins_anew(recognizer, late_stream, waveforms):
    feed(recognizer, RATE, waveforms[2], 640)
    recognizer.reset()
    assert not recognizer.result.tokens
    # Another rate too: the audio need not be one recording.
    feed(recognizer, 8000, waveforms[1][::2], 640)
    recognizer.reset()
    assert feed(recognizer, RATE, waveforms[0], 640).text == whole_text(late_stream.path, waveforms[0])


def test_audio_that_arrived_before_the_reset_belongs_to_the_next_utterance(recognizer, late_stream, waveforms):
    recognizer.accept_waveform(RATE, waveforms[2][:1000])
    recognizer.decode()
    recognizer.reset()  # one step of 640 was decoded
    recognizer.accept_waveform(RATE, waveforms[2][1000:])
    recognizer.input_finished()
    recognizer.decode()
    assert recognizer.result.text == whole_text(late_stream.path, waveforms[2][640:])


def test_bad_audio_is_refused_and_the_utterance_goes_on(recognizer, late_stream, waveforms):
    half = len(waveforms[2]) // 2
    recognizer.accept_waveform(RATE, waveforms[2][:half])
    bad = {
        r"sample 3 of the audio is not finite": (RATE, np.array([0, 0, 0, np.nan], np.float32)),
        r"sample 0 of the audio is not finite": (RATE, np.array([np.inf], np.float32)),
        r"positive like the audio before, of 16000 Hz, got 8000": (8000, np.zeros(4, np.float32)),
        r"positive like the audio before, of 16000 Hz, got 0": (0, np.zeros(4, np.float32)),
        r"floating-point numbers in \[-1, 1\], got int16": (RATE, np.zeros(4, np.int16)),
        r"got 12000: divide 16-bit numbers by 32768": (RATE, np.array([12000.0])),
        r"shape \[samples\], got \[2, 4\]": (RATE, np.zeros([2, 4])),
    }
    for message, (rate, samples) in bad.items():
        with pytest.raises(InputError, match=message):
            recognizer.accept_waveform(rate, samples)
    recognizer.accept_waveform(RATE, waveforms[2][half:])
    recognizer.input_finished()
    recognizer.decode()
    assert recognizer.result.text == whole_text(late_stream.path, waveforms[2])
    with pytest.raises(InputError, match="the input was finished"):
        recognizer.accept_waveform(RATE, waveforms[0])


def test_clipped_audio_is_audio(recognizer, late_stream, waveforms):
    clipped = np.clip(50 * waveforms[2], -1, 1)
    assert (np.abs(clipped) == 1).mean() > 0.2
    assert feed(recognizer, RATE, clipped, 777).text == whole_text(late_stream.path, clipped)


def test_minutes_of_silence_take_no_memory_and_leave_the_model_as_it_was(recognizer, late_stream, waveforms):
    silence = np.zeros(RATE, np.float32)
    held = set()
    for _ in range(180):
        recognizer.accept_waveform(RATE, silence)
        recognizer.decode()
        held.add((recognizer._input.pending, sum(value.nbytes for value in recognizer.model.state().values())))
    assert len(held) == 1
    recognizer.reset()
    assert feed(recognizer, RATE, waveforms[0], 640).text == whole_text(late_stream.path, waveforms[0])


@pytest.mark.parametrize(
    ("speech", "silence", "length", "expected"),
    [
        (False, 2.3, 2.3, False),
        (False, 2.4, 2.4, True),
        (True, 1.1, 9.0, False),
        (True, 1.2, 9.0, True),
        (True, 0.0, 19.9, False),
        (True, 0.0, 20.0, True),
    ],
)
def test_endpoint_rules_are_those_of_sherpa(speech, silence, length, expected):
    assert any(rule.holds(speech, silence, length) for rule in endpoint_rules()) is expected


def test_an_endpoint_is_found_by_length(late_stream, waveforms):
    recognizer = OnlineRecognizer(late_stream.path, rules=endpoint_rules(rule3_min_utterance_length=1.0))
    recognizer.accept_waveform(RATE, waveforms[2][:RATE])
    recognizer.decode()
    assert not recognizer.is_endpoint  # the logits are seven frames late
    recognizer.accept_waveform(RATE, waveforms[2][RATE : RATE + 7 * 640])
    recognizer.decode()
    assert recognizer.is_endpoint
    recognizer.reset()
    assert not recognizer.is_endpoint


def test_a_converter_refuses_a_recognizer(late_stream):
    with pytest.raises(InputError, match="its task is recognition_ctc; speech is converted by files of"):
        OnlineConverter(late_stream.path)
