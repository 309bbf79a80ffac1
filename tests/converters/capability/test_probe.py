"""The table of what the runtimes compute rightly is what they do on this machine."""

import pytest

from converters.capability.probe import probe
from converters.exporter.capabilities import WHOLE, Case, Outcome, case_of, cases, measured, write
from tfconformer.quantization.spec import QuantSpec

INT2 = Case("litert", 2, True, None, True, WHOLE)
INT4 = Case("litert", 4, True, None, True, WHOLE)
INT4_BLOCKS = Case("litert", 4, True, 32, True, WHOLE)


@pytest.fixture(scope="module")
def probed():
    return probe()


def test_the_table_is_measured_again(probed):
    """What is right must be right in the same way; how something goes wrong may depend on what lies in memory."""
    assert probed.keys() == measured().keys() == set(cases())
    for case, outcomes in probed.items():
        recorded = measured()[case]
        assert outcomes.keys() == recorded.keys(), case
        for runtime, outcome in outcomes.items():
            assert outcome.usable == recorded[runtime].usable, (str(case), runtime, str(outcome))
            if outcome.usable:
                assert outcome == recorded[runtime], (str(case), runtime)


def test_our_operation_is_right_everywhere(probed):
    for case, outcomes in probed.items():
        if case.target == "custom":
            expected = Outcome("exact", activations=case.activation_bits or 32)
            assert set(outcomes.values()) == {expected}, str(case)
            assert len(outcomes) == 6


def test_known_errors_of_the_runtimes_are_found(probed):
    """Found once by hand, each in its own way: the probe must not take them for right."""
    # The int4 kernels without XNNPACK take codes for numbers from -7 on.
    assert probed[INT4]["ai-edge-litert 2.3.0"].result == "exact"
    assert probed[INT4]["ai-edge-litert 2.3.0 without XNNPACK"].result == "wrong"
    # Older runtimes do not know INT2, and do not look at the scales of blocks.
    assert probed[INT2]["tflite-runtime 2.14.0"].result == "refused"
    assert "type 19" in probed[INT2]["tflite-runtime 2.14.0"].reason
    assert not probed[INT4_BLOCKS]["tensorflow 2.17.1"].usable
    assert probed[INT4_BLOCKS]["ai-edge-litert 2.3.0"] == Outcome("rounded", activations=8)


def test_a_table_is_written_and_read(probed, tmp_path, monkeypatch):
    write(probed, tmp_path / "table.json")
    monkeypatch.setattr("converters.exporter.capabilities.PATH", tmp_path / "table.json")
    assert measured.__wrapped__() == probed


@pytest.mark.parametrize(
    ("spec", "k", "case"),
    [
        (QuantSpec(bits=4), 1024, INT4),
        (QuantSpec(bits=2, activation_bits=8), 96, INT2),
        (QuantSpec(bits=4, block_size=32), 96, INT4_BLOCKS),
        (QuantSpec(bits=4, block_size=32), 90, Case("litert", 4, True, 32, True, 498)),
        (QuantSpec(bits=4), 33, Case("litert", 4, True, None, True, 499)),
        (QuantSpec(bits=4, block_size=16), 96, None),
        (QuantSpec(bits=3), 96, None),
    ],
)
def test_layers_are_judged_by_the_case_that_stands_for_them(spec, k, case):
    assert case_of(spec, k, "litert") == case
