"""The optional package sounddevice, which has the microphone and the loudspeaker."""

from __future__ import annotations

from typing import Any

from tfconformer.errors import InputError


def sounddevice_for(device: str) -> Any:
    """Imports sounddevice.

    Args:
      device: name of the device in the message.

    Raises:
      InputError: sounddevice or its PortAudio library is not installed.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise InputError(
            f"the {device} needs the package sounddevice and PortAudio: pip install 'tfconformer[mic]' ({error})"
        ) from None
    return sounddevice
