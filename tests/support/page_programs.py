"""The programs of a page, as they are written there."""

from __future__ import annotations

import re
from pathlib import Path

LONGEST = 10  # lines of code of a program
_PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def page_programs(page: Path) -> list[str]:
    """Returns the Python programs of a page, which must be short."""
    programs = _PROGRAM.findall(page.read_text(encoding="utf-8"))
    for program in programs:
        assert len([line for line in program.splitlines() if line]) <= LONGEST, program
    return programs
