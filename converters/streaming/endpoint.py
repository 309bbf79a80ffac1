"""The end of an utterance: Kaldi's endpointing rules, in the form and with the defaults of sherpa-onnx.

An utterance ends as soon as one of its rules holds. Frames that decode as blank are silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converters.runtime.search import Search


@dataclass(frozen=True)
class EndpointRule:
    """One rule; it holds if all its conditions do.

    Attributes:
      must_contain_nonsilence: the hypothesis must hold a token.
      min_trailing_silence: seconds since the last token, or since the beginning if there is none.
      min_utterance_length: seconds since the beginning.
    """

    must_contain_nonsilence: bool
    min_trailing_silence: float
    min_utterance_length: float

    def holds(self, contains_nonsilence: bool, trailing_silence: float, utterance_length: float) -> bool:
        """Returns True if an utterance of these properties is over; times in seconds."""
        return (
            (contains_nonsilence or not self.must_contain_nonsilence)
            and trailing_silence >= self.min_trailing_silence
            and utterance_length >= self.min_utterance_length
        )


def is_endpoint(rules: Sequence[EndpointRule], search: Search, frame_seconds: float) -> bool:
    """Returns True if the utterance of a search, whose frames have this length, is over by one of the rules."""
    silence, length = search.trailing_blanks * frame_seconds, search.frames * frame_seconds
    return any(rule.holds(bool(search.ids), silence, length) for rule in rules)


def endpoint_rules(
    rule1_min_trailing_silence: float = 2.4,
    rule2_min_trailing_silence: float = 1.2,
    rule3_min_utterance_length: float = 20.0,
) -> tuple[EndpointRule, ...]:
    """Returns the three rules: long silence, shorter silence after speech, length alone; times in seconds."""
    return (
        EndpointRule(False, rule1_min_trailing_silence, 0.0),
        EndpointRule(True, rule2_min_trailing_silence, 0.0),
        EndpointRule(False, 0.0, rule3_min_utterance_length),
    )
