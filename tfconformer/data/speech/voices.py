"""The speakers of the synthetic corpus.

A speaker is a voice of a synthesis engine with a warped vocal tract and another rate or, with espeak-ng, a variant of
the glottal source and formants. No speaker occurs in two subsets, and the base voices of dev-other and test-other occur
in no other subset: these two measure recognition of voices that have no training data. Speakers of test-clean are
other warps and variants of trained voices.
"""

from __future__ import annotations

from dataclasses import dataclass

from tfconformer.data.speech.synthesis import Voice

_FLITE = "flite"
_FESTIVAL = "festival"
_PICO = "pico"
_ESPEAK = "espeak-ng"

_TRAIN_VARIANTS = (
    "m1 m3 m5 m7 f1 f2 f4 Andy Annie Denis Gene Henrique Hugo Lee linda Mario Michael Mike steph victor belinda john "
    "Alex Alicia"
).split()
_TEST_VARIANTS = "m2 f3 m6 f5 boris".split()
_ACCENTS = "en-us en-gb en-gb-scotland en-029 en-us-nyc".split()
_RECORDED = (
    Voice(_FLITE, "kal16"), Voice(_FLITE, "awb"), Voice(_FLITE, "slt"), Voice(_PICO, "en-US"),
    Voice(_FESTIVAL, "kal_diphone"), Voice(_FESTIVAL, "cmu_us_slt_arctic_hts"),
)  # fmt: skip


@dataclass(frozen=True)
class Speaker:
    """One synthetic speaker.

    Attributes:
      number: LibriSpeech-style speaker id, unique in the corpus.
      voice: voice of the engine.
      warp: factor on pitch and formants, > 0.
      rate: speaking rate as a multiple of the voice's own, > 0.
    """

    number: int
    voice: Voice
    warp: float = 1.0
    rate: float = 1.0

    def __str__(self) -> str:
        return f"{self.voice} warp {self.warp:g} rate {self.rate:g}"


def _warped(voices: tuple[Voice, ...], warps: tuple[float, ...]) -> list[tuple[Voice, float, float]]:
    # Warping also changes the rate; half of that is compensated, as short vocal tracts go with slightly faster speech.
    return [(voice, factor, round(factor**-0.5, 3)) for voice in voices for factor in warps]


def _variants(accents: list[str], variants: list[str], every: int = 1) -> list[tuple[Voice, float, float]]:
    """Returns every `every`th pair of accent and variant, at a rate that cycles through slow, normal and fast."""
    grid = [(i, j) for i in range(len(accents)) for j in range(len(variants)) if (i + j) % every == 0]
    return [(Voice(_ESPEAK, f"{accents[i]}+{variants[j]}"), 1.0, (0.9, 1.0, 1.12)[(7 * i + j) % 3]) for i, j in grid]


def _speakers(first: int, people: list[tuple[Voice, float, float]]) -> tuple[Speaker, ...]:
    return tuple(Speaker(first + index, *person) for index, person in enumerate(people))


SPEAKERS: dict[str, tuple[Speaker, ...]] = {
    "train-synthetic": _speakers(
        1000,
        _warped(_RECORDED[:4], (0.86, 0.92, 0.97, 1.03, 1.09, 1.16))
        + _warped(_RECORDED[4:], (0.86, 0.97, 1.09))
        + _variants(_ACCENTS, _TRAIN_VARIANTS, every=3),
    ),
    "dev-clean": _speakers(
        2000,
        _warped(_RECORDED, (0.945, 1.06)) + _variants(_ACCENTS[:2], ["m4", "m8"]),
    ),
    "dev-other": _speakers(
        2500,
        _warped((Voice(_FESTIVAL, "ked_diphone"),), (0.95, 1.05)) + _variants(["en-gb-x-rp"], ["m2", "f3", "anika"]),
    ),
    "test-clean": _speakers(
        3000,
        _warped(_RECORDED, (0.89, 1.0, 1.12)) + _variants(_ACCENTS[:4], _TEST_VARIANTS),
    ),
    "test-other": _speakers(
        4000,
        _warped((Voice(_FLITE, "rms"),), (0.92, 0.96, 1.0, 1.04, 1.08))
        + _warped((Voice(_PICO, "en-GB"),), (0.9, 0.95, 1.0, 1.04, 1.08))
        + _variants(["en-gb-x-gbclan"], ["m4", "f5", "Jacky", "grandma", "klatt4", "iven"]),
    ),
}
