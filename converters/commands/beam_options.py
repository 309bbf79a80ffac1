"""The options of a beam search, which several commands have."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tfconformer.commands.numbers import Finite, Whole
from tfconformer.errors import InputError


def beam_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options to a command, which takes their values as `beam`, a `BeamSearch`; None searches greedily."""

    @click.option("--beam-width", type=Whole(min=1), help="Number of hypotheses of a beam search.")
    @click.option(
        "--hotwords",
        "hotwords_file",
        type=click.Path(path_type=Path),
        help="Words or phrases that the beam search prefers, a line each.",
    )
    @click.option(
        "--hotword-boost",
        type=Finite(),
        default=1.5,
        show_default=True,
        help="What a token of a hotword adds to the logarithm of a hypothesis' probability.",
    )
    @functools.wraps(command)
    def with_beam(
        *args: Any, beam_width: int | None, hotwords_file: Path | None, hotword_boost: float, **options: Any
    ) -> None:
        from tfconformer.decoding.beam import BeamSearch, read_hotwords

        if hotwords_file is not None and beam_width is None:
            raise InputError("--hotwords needs --beam-width")
        hotwords = () if hotwords_file is None else read_hotwords(hotwords_file)
        beam = beam_width and BeamSearch(beam_width, hotwords=hotwords, hotword_boost=hotword_boost)
        command(*args, beam=beam, **options)

    return with_beam
