import json
import subprocess
import sys

import numpy as np
import pytest

from converters.runtime.isolated import IsolatedRecognizer
from tests.support.fake_runtime import SAMPLES_PER_FRAME
from tfconformer.errors import InputError

OPEN_FAKE = "tests.support.fake_runtime:open_model"


def recognizer(model: str = "good.tflite", runtime: str = "fake") -> IsolatedRecognizer:
    return IsolatedRecognizer(model, runtime, threads=2, open_model=OPEN_FAKE)


def utterance(ids: list[int]) -> np.ndarray:
    return np.repeat(np.array(ids, np.float32) / 10, SAMPLES_PER_FRAME)


def test_decodes_what_it_is_given():
    with recognizer() as fake:
        assert fake.runtime == "fake 1.0"
        for ids, expected in (([1, 1, 0, 2], [1, 2]), ([], []), ([3, 0, 3], [3, 3])):
            decoded = fake.decode(utterance(ids))
            assert decoded.ids == expected
            assert decoded.seconds >= 0
            assert decoded.kernel == "fake kernel"


def test_float64_and_strided_waveforms_arrive_intact():
    with recognizer() as fake:
        doubled = np.repeat(utterance([4, 0, 5]).astype(np.float64), 2)[::2]
        assert fake.decode(doubled).ids == [4, 5]
        with pytest.raises(ValueError, match="samples"):
            fake.decode(np.zeros((1, 400)))


def test_the_child_stays_light():
    """Of the heavy modules only NumPy may be there: the peak memory is to be the model's."""
    with recognizer("modules.tflite") as fake, pytest.raises(InputError) as error:
        fake.decode(utterance([1]))
    loaded = set(str(error.value).split())
    assert "numpy" in loaded
    assert not {"tensorflow", "tf_keras", "keras", "jiwer", "sentencepiece", "matplotlib", "pydantic"} & loaded


def test_peak_memory_is_the_childs_own():
    """Measured from a parent that has touched 400 MB; the child must not inherit that peak, and must see its own."""
    program = f"""
import json, sys
import numpy as np
sys.path[:] = json.loads({json.dumps(json.dumps(sys.path))})
from converters.runtime.isolated import IsolatedRecognizer
ballast = np.ones(100_000_000, np.float32)
with IsolatedRecognizer("hungry.tflite", "fake", open_model={OPEN_FAKE!r}) as recognizer:
    peaks = [recognizer.decode(np.zeros(n, np.float32)).peak_rss_bytes for n in (400, 250_000, 400)]
print(json.dumps(peaks))
"""
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    small, large, after = json.loads(output)
    # Python with NumPy takes 25 to 40 MB; ten times less than the ballast tells the two apart.
    assert small < 100e6
    # 250,000 samples make the fake allocate 100 MB; the page cache and the allocator may shift the difference by a few.
    assert large - small == pytest.approx(100e6, rel=0.1)
    assert after == large


def test_output_of_native_libraries_does_not_disturb():
    with recognizer("chatter.tflite") as fake:
        assert fake.decode(utterance([1, 2])).ids == [1, 2]


def test_an_input_error_in_the_child_is_one_here():
    with pytest.raises(InputError, match=r"^unknown runtime other$"):
        recognizer(runtime="other")
    with recognizer("refuse.tflite") as fake, pytest.raises(InputError, match=r"utterance 7: .* cannot resize"):
        fake.decode(utterance([1]), "utterance 7")
    with (
        recognizer("nan.tflite") as fake,
        pytest.raises(InputError, match=r"utterance 8: the output of nan\.tflite .*NaN"),
    ):
        fake.decode(utterance([1]), "utterance 8")


def test_an_input_error_does_not_end_the_process():
    with recognizer("nan.tflite") as fake:
        for _ in range(2):
            with pytest.raises(InputError):
                fake.decode(utterance([1]))


def test_a_death_is_reported_with_its_cause():
    with recognizer("crash.tflite") as fake, pytest.raises(InputError, match=r"utterance 7: .*killed by SIGSEGV"):
        fake.decode(utterance([1]), "utterance 7")
    with recognizer("raise.tflite") as fake, pytest.raises(RuntimeError, match=r"(?s)status 1 .*a bug in the runtime"):
        fake.decode(utterance([1]))
    with pytest.raises(RuntimeError, match=r"status 3 \(no such library\) at the opening of the model"):
        recognizer("dead.tflite")


def test_a_dead_process_stays_dead():
    with recognizer("crash.tflite") as fake:
        for _ in range(2):
            with pytest.raises(InputError, match="SIGSEGV"):
                # Larger than a pipe's buffer, so that writing fails and not only reading.
                fake.decode(np.zeros(1_000_000))
