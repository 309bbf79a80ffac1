"""Opens and runs files in a child process, so that a crash of a runtime is an outcome and not the end of the tests.

    python -m tests.support.crash_probe RUNTIME SAMPLES FILE...

Prints a JSON object: file -> "ran", "InputError: sentence", another exception likewise, or "signal 11".
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np

from converters.runtime.model import open_model


def outcome(path: str, runtime: str, samples: int) -> str:
    waveform = np.linspace(-1, 1, samples, dtype=np.float32)
    try:
        open_model(path, runtime).run(waveform)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "ran"


def outcomes_until_a_crash(paths: list[str], runtime: str, samples: int) -> list[str]:
    """Runs file after file in a child process; the last outcome is the signal that ended it, if one did."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(writable, "w") as pipe:
            for path in paths:
                print(json.dumps(outcome(path, runtime, samples)), file=pipe, flush=True)
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        outcomes = [json.loads(line) for line in pipe]
    status = os.waitpid(child, 0)[1]
    return [*outcomes, f"signal {os.WTERMSIG(status)}"] if os.WIFSIGNALED(status) else outcomes


def main() -> None:
    runtime, samples, *paths = sys.argv[1:]
    outcomes: list[str] = []
    while len(outcomes) < len(paths):
        outcomes += outcomes_until_a_crash(paths[len(outcomes) :], runtime, int(samples))
    json.dump(dict(zip(paths, outcomes, strict=True)), sys.stdout)


if __name__ == "__main__":
    main()
