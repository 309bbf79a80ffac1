from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from tfconformer.data.sounds import read_impulse_responses, read_recordings
from tfconformer.errors import InputError


def write(path: Path, wave: np.ndarray, rate: int = 16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    subtype = "FLOAT" if path.suffix.lower() == ".wav" else None
    soundfile.write(path, wave.astype(np.float32), rate, subtype=subtype)


def test_recordings_of_a_folder_and_its_subfolders(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.uniform(-0.5, 0.5, 500), rng.uniform(-0.5, 0.5, [800, 2])
    write(tmp_path / "b" / "street.WAV", first)
    write(tmp_path / "a.wav", second, rate=8000)
    (tmp_path / "LICENSE.txt").write_text("CC0")
    recordings = read_recordings(str(tmp_path), 16000)
    assert recordings.starts.numpy().tolist() == [0, 1600]
    assert recordings.lengths.numpy().tolist() == [1600, 500]
    resampled = soxr.resample(second[:, 0].astype(np.float32), 8000, 16000)
    np.testing.assert_array_equal(recordings.samples, np.concatenate([resampled, first.astype(np.float32)]))


def test_impulse_responses_begin_with_the_direct_sound_and_have_equal_energies(tmp_path: Path) -> None:
    late = np.zeros(400)
    late[100], late[150] = -0.4, 0.3
    write(tmp_path / "late.wav", late)
    write(tmp_path / "long.wav", np.r_[1.0, np.full(20000, 0.01)])
    responses = read_impulse_responses(str(tmp_path), 16000).numpy()
    assert responses.shape == (2, 8000)
    np.testing.assert_allclose(responses[0, [0, 50]], [-0.8, 0.6], rtol=1e-6)
    assert np.count_nonzero(responses[0]) == 2
    # Sums of 8000 float32 squares.
    np.testing.assert_allclose(np.sum(np.square(responses), axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("noise.mp3", b"ID3", "has no WAV, FLAC or Ogg file"),
        ("noise.wav", b"RIFF....", r"cannot use .*noise\.wav: corrupt audio"),
    ],
)
def test_a_bad_folder_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_recordings(str(tmp_path), 16000)


def test_silence_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "silence.wav", np.zeros(100))
    for read in (read_recordings, read_impulse_responses):
        with pytest.raises(InputError, match=r"silence\.wav: it is silent"):
            read(str(tmp_path), 16000)
