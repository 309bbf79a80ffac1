"""The outcomes of quantized layers in the runtimes: the table that `tfconformer dev probe` measures, for the planner.

The runtimes accept files that they then compute wrongly, so that neither their documentation nor the absence of an
error shows what they support. `capabilities.json` holds the measured outcomes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from tfconformer import atomic
from tfconformer.quantization.spec import QuantSpec

PATH = Path(__file__).with_name("capabilities.json")
BLOCK_SIZES = (None, 32, 64, 128, 256)
# Contraction lengths that represent all others: whole blocks and bytes; neither, but an even number; an odd one.
WHOLE, EVEN, ODD = 512, 498, 499


@dataclass(frozen=True)
class Case:
    """A kind of layer.

    Attributes:
      target: "litert" for built-in weights, "custom" for the operation of this project.
      bits: width of a quantized weight: 2, 4 or 8.
      symmetric: False for weights with zero points: an integer one of 1 with built-in weights, float ones with custom.
      block_size: weights per scale along K; None for one scale per output channel.
      lowest_code: True if the quantized value -2^(bits - 1) occurs, as it does with clipped ranges and with asymmetric
        weights.
      k: contraction length.
      activation_bits: width of the activations of the custom operation, None for float; None for built-in weights,
        where the runtime chooses it.
    """

    target: str
    bits: int
    symmetric: bool
    block_size: int | None
    lowest_code: bool
    k: int
    activation_bits: int | None = None

    def __str__(self) -> str:
        """Returns a readable description on one line."""
        words = [self.target, f"{self.bits} bits", "symmetric" if self.symmetric else "asymmetric"]
        words.append(f"blocks of {self.block_size}" if self.block_size else "per channel")
        words += [f"K = {self.k}", *([] if self.lowest_code else ["without the lowest code"])]
        return ", ".join([*words, *([f"{self.activation_bits}-bit activations"] if self.activation_bits else [])])


@dataclass(frozen=True)
class Outcome:
    """The result of a case in one runtime.

    Attributes:
      result: "exact"; "rounded" (to the precision of scales in bfloat16); "wrong"; "refused"; or "crashed".
      activations: width of the activations that were multiplied, 32 for float; None if no correct result was computed.
      reason: the error message of a runtime that refused the layer, else None.
    """

    result: str
    activations: int | None = None
    reason: str | None = None

    def __str__(self) -> str:
        """Returns a readable description on one line."""
        activations = f" with {self.activations}-bit activations" if self.activations else ""
        return self.result + activations + (f" ({self.reason})" if self.reason else "")

    @property
    def usable(self) -> bool:
        """True if the layer may be exported in this form."""
        return self.result in ("exact", "rounded")


Table = dict[Case, dict[str, Outcome]]


def cases() -> list[Case]:
    """Returns all cases that are probed."""
    found = []
    for bits in (2, 4, 8):
        for block_size in BLOCK_SIZES:
            for k in (WHOLE, EVEN, ODD):
                found.append(Case("litert", bits, True, block_size, True, k))
                for symmetric in (True, False):
                    found.append(Case("custom", bits, symmetric, block_size, True, k, 8))
            found.append(Case("litert", bits, True, block_size, False, WHOLE))
            found.append(Case("litert", bits, False, block_size, True, WHOLE))
            found += [Case("custom", bits, symmetric, block_size, True, WHOLE) for symmetric in (True, False)]
    return found


def case_of(spec: QuantSpec, k: int, target: str) -> Case | None:
    """Returns the probed case that represents a layer with contraction length k; None if its kind is not probed."""
    whole = spec.block_size or 32
    length = WHOLE if k % whole == 0 else EVEN if k % 2 == 0 else ODD
    activation_bits = spec.activation_bits if target == "custom" else None
    case = Case(target, spec.bits, spec.symmetric, spec.block_size, True, length, activation_bits)
    return case if case in cases() else None


@cache
def measured() -> Table:
    """Returns the table of the repository, from `capabilities.json`."""
    rows = json.loads(PATH.read_text(encoding="utf-8"))
    return {
        Case(**row["case"]): {runtime: Outcome(**outcome) for runtime, outcome in row["outcomes"].items()}
        for row in rows
    }


def write(table: Table, path: Path = PATH) -> None:
    """Writes a table atomically, one case per line."""
    lines = [
        json.dumps({"case": asdict(case), "outcomes": {name: _given(outcome) for name, outcome in outcomes.items()}})
        for case, outcomes in table.items()
    ]
    atomic.write_text(path, "[\n" + ",\n".join(lines) + "\n]\n")


def _given(outcome: Outcome) -> dict[str, str | int]:
    return {key: value for key, value in asdict(outcome).items() if value is not None}
