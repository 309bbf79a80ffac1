"""The partition of human speech into subsets, and the check for leaks between subsets.

Whole characters are held out for `dev-human` and `test-human`; those of their lines whose words also occur in training
are dropped. `test-human-seen` holds out about 5 % of the training characters' lines, of those that occur once. Lines of
unknown speakers enter no subset.
"""

from __future__ import annotations

import collections
import logging
import zlib
from collections.abc import Iterable, Mapping, Sequence

from tfconformer.data.manifest import Utterance
from tfconformer.data.speech.recordings import Recording

logger = logging.getLogger(__name__)

HELD_OUT_SPEAKERS = {
    "test-human": frozenset({"CHIEF", "FAYE", "NAOMI", "HENRY"}),
    "dev-human": frozenset({"LOU", "LARIS"}),
}
_SEEN_SHARE = 20  # one of this many eligible lines
_SEEN_MIN_WORDS = 3  # shorter lines say little about a model


def partition(recordings: Sequence[Recording]) -> dict[str, list[Recording]]:
    """Splits recordings into train-human, dev-human, test-human and test-human-seen."""
    known = [recording for recording in recordings if recording.speaker]
    occurrences = collections.Counter(recording.text for recording in recordings)
    subsets: dict[str, list[Recording]] = {
        name: [recording for recording in known if recording.speaker in speakers]
        for name, speakers in HELD_OUT_SPEAKERS.items()
    }
    held_out = frozenset().union(*HELD_OUT_SPEAKERS.values())
    rest = [recording for recording in known if recording.speaker not in held_out]
    subsets["test-human-seen"] = [recording for recording in rest if _hold_out(recording, occurrences)]
    subsets["train-human"] = [recording for recording in rest if not _hold_out(recording, occurrences)]
    # No line of training is tested, and no tested line selects the checkpoint.
    forbidden = _texts(subsets["train-human"])
    for name in ("test-human", "dev-human"):
        kept = [recording for recording in subsets[name] if recording.text not in forbidden]
        logger.info("%s: %d lines also occur in train or test, dropped", name, len(subsets[name]) - len(kept))
        forbidden |= _texts(kept)
        subsets[name] = kept
    logger.info("human speech: %d lines of unknown speakers left out", len(recordings) - len(known))
    return subsets


def leaks(subsets: Mapping[str, Iterable[Utterance]]) -> list[str]:
    """Returns a sentence for each pair of subsets that are not disjoint.

    Subsets are train, dev or test by the first part of their names. Subsets of different parts share no sentence and no
    speaker, except that `test-human-seen` consists of training speakers.
    """
    contents = {name: list(utterances) for name, utterances in subsets.items()}
    found = []
    for first, second in ((a, b) for a in sorted(contents) for b in sorted(contents) if a < b):
        if first.split("-")[0] == second.split("-")[0]:
            continue
        texts = {u.text for u in contents[first]} & {u.text for u in contents[second]}
        speakers = {u.speaker for u in contents[first]} & {u.speaker for u in contents[second]}
        if texts:
            found.append(f"{first} and {second} share {len(texts)} sentences, such as {min(texts)!r}")
        if speakers and "test-human-seen" not in (first, second):
            found.append(f"{first} and {second} share {len(speakers)} speakers, such as {min(speakers)!r}")
    return found


def _hold_out(recording: Recording, occurrences: Mapping[str, int]) -> bool:
    eligible = occurrences[recording.text] == 1 and len(recording.text.split()) >= _SEEN_MIN_WORDS
    return eligible and zlib.crc32(recording.text.encode()) % _SEEN_SHARE == 0


def _texts(recordings: Iterable[Recording]) -> frozenset[str]:
    return frozenset(recording.text for recording in recordings)
