"""The processes in which trainings of their own run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import train_worker
from tests.support.fresh_processes import FreshProcesses


@pytest.fixture(scope="session")
def processes() -> Iterator[FreshProcesses]:
    with FreshProcesses(train_worker.__name__) as started:
        yield started
