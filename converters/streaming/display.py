"""Live recognition on a terminal: final utterances as lines, below them the current one and how fast it goes."""

from __future__ import annotations

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from converters.streaming.audio import LiveAudio
from converters.streaming.online_recognizer import OnlineRecognizer
from converters.streaming.session import Timing, recognize


def show(recognizer: OnlineRecognizer, audio: LiveAudio, console: Console | None = None) -> None:
    """Prints live recognition until the audio ends; without a terminal, only final utterances and the timing."""
    console = console or Console(highlight=False)
    delay_ms = 1e3 * recognizer.model.description.delay_seconds
    timing = Timing()
    with Live(console=console, transient=True, auto_refresh=False) as live:
        for update in recognize(recognizer, audio):
            timing = update.timing
            if update.result.is_final:
                if update.result.text:
                    console.print(Text(update.result.text), soft_wrap=True)
                live.update(Text(_speed(timing, delay_ms), style="dim"), refresh=True)
            else:
                current = Text(update.result.text, style="italic")
                live.update(Group(current, Text(_speed(timing, delay_ms), style="dim")), refresh=True)
    console.print(_speed(timing, delay_ms), soft_wrap=True)


def _speed(timing: Timing, delay_ms: float) -> str:
    return (
        f"{timing.audio_seconds:.1f} s of audio, real-time factor {timing.rtf:.3f}, latency at most {delay_ms:.0f} ms "
        f"of audio and {timing.compute_ms(50):.1f} ms (p90 {timing.compute_ms(90):.1f}) of computing"
    )
