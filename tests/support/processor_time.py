"""The processor time that test files take, printed when a session ends."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

SHOWN_FILES = 10
_PROPERTY = "processor_seconds"


class ProcessorTime:
    """A pytest plugin that adds up user and system time of processes and of the children that they waited for.

    Unlike the durations that pytest prints, these numbers do not depend on what else the machine does. Fixtures count
    for the file whose test asked for them first.
    """

    def __init__(self) -> None:
        self._files: Counter[str] = Counter()
        self._counted = 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, Any, Any]:
        self._counted = _process_seconds()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        before, self._counted = self._counted, _process_seconds()
        # Properties of a report reach the process that prints, from whichever worker.
        report.user_properties.append((_PROPERTY, self._counted - before))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._files[report.nodeid.partition("::")[0]] += dict(report.user_properties).get(_PROPERTY, 0.0)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("processor time")
        for file, seconds in self._files.most_common(SHOWN_FILES):
            terminalreporter.line(f"{seconds:6.0f} s  {file}")
        # Workers have ended, so that their imports and the collection of tests are in the total.
        terminalreporter.line(f"{_process_seconds():6.0f} s  in all")


def _process_seconds() -> float:
    """Returns user and system seconds of this process and its ended children."""
    return sum(os.times()[:4])
