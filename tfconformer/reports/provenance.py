"""The origin of a measurement: command, commit, date and machine, as a results file records them.

write_results("rows.json", results_of_this_process(rows=rows))
"""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from tfconformer.reports.results import Machine, ResultsFile

UNKNOWN = "unknown"
_DOCUMENTS = (":(top,exclude)docs", ":(top,exclude)results", ":(top,exclude)*.md")


def results_of_this_process(**content: Any) -> ResultsFile:
    """Builds a results file with `content` (rows, layers, stages, transcripts), measured by the running command."""
    return ResultsFile(command=command_line(), commit=commit(), date=now(), machine=machine(), **content)


def command_line() -> str:
    """Returns the running command as a person would type it."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def now() -> str:
    """Returns the time in UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def commit() -> str:
    """Returns the commit of the checkout that this code runs from, with the suffix "-dirty" if tracked files differ.

    Documents and results do not count, so that one measurement does not mark the next as dirty. Outside a checkout, as
    in an installed wheel, the commit is "unknown".
    """
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        completed = subprocess.run(["git", "-C", here.parent, *arguments], capture_output=True, text=True, check=True)
        return completed.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", *_DOCUMENTS)
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN


def machine() -> Machine:
    """Returns this machine: CPU model, cores that this process may use, and the limits of its control group."""
    return Machine(cpu=_cpu_model(), cores=len(os.sched_getaffinity(0)), limits=", ".join(_limits()))


def _cpu_model() -> str:
    # x86 calls it "model name"; many Arm kernels give only numbers, and `platform` returns only the architecture.
    for line in _read("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine() or UNKNOWN


def _limits() -> list[str]:
    limits = []
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").strip().partition(" ")
    if quota.isdigit() and period.isdigit():
        limits.append(f"{int(quota) / int(period):g} CPUs")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    allowed = _read("/sys/fs/cgroup/memory.max").strip()
    if allowed.isdigit():
        memory = min(memory, int(allowed))
    return [*limits, f"{memory / 1e9:.1f} GB memory"]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
