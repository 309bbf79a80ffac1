"""The limits of one core of this machine, measured: `limits.c` is compiled for the machine it runs on.

limits = measure_limits()
limits.seconds(read_bytes=295_000, working_set=33_000_000, multiplications=1_048_576, kind="int8")

Implementations are then compared with the least time that the machine needs.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tfconformer.errors import InputError

_SOURCE = Path(__file__).with_name("limits.c")


@dataclass(frozen=True)
class Limits:
    """The highest rates of one core.

    Attributes:
      read: (bytes of the buffer, bytes per second when it is read again and again), smallest buffer first.
      rates: operations per second by instruction, "float ..." or "int8 ..."; a multiply-add is two operations.
    """

    read: tuple[tuple[int, float], ...]
    rates: dict[str, float]

    def read_rate(self, working_set: float) -> float:
        """Returns bytes per second from a set of that many bytes: the rate of the smallest buffer that holds it."""
        return next((rate for size, rate in self.read if size >= working_set), self.read[-1][1])

    def operation_rate(self, kind: str) -> float:
        """Returns the best rate of a kind, "float" or "int8"."""
        return max(rate for name, rate in self.rates.items() if name.startswith(kind))

    def seconds(self, read_bytes: float, working_set: float, multiplications: float, kind: str) -> float:
        """Returns the least time in which a core could read the bytes and do the multiplications, the two at once.

        Args:
          read_bytes: bytes of weights, each read once.
          working_set: bytes that are read before these are read again.
          multiplications: number of multiply-adds.
          kind: "float" or "int8".
        """
        return max(read_bytes / self.read_rate(working_set), 2 * multiplications / self.operation_rate(kind))


def measure_limits() -> Limits:
    """Compiles the program and runs it, which takes some seconds.

    Raises:
      InputError: there is no C compiler, or it cannot compile the program.
    """
    compiler = os.environ.get("CC", "gcc")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "limits"
        options = ["-std=c11", "-O3", "-march=native", "-D_GNU_SOURCE"]
        try:
            subprocess.run([compiler, *options, _SOURCE, "-o", program], check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise InputError(f"{compiler} cannot compile {_SOURCE} ({getattr(error, 'stderr', error)})") from error
        return parse_limits(subprocess.run([program], check=True, capture_output=True, text=True).stdout)


def parse_limits(output: str) -> Limits:
    """Parses the output of `limits.c`: lines `read BYTES RATE` and `NAME RATE`."""
    read, rates = [], {}
    for line in output.splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("read "):
            read.append((int(name.removeprefix("read ")), float(value)))
        else:
            rates[name] = float(value)
    return Limits(tuple(read), rates)
