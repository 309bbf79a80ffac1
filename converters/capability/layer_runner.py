"""Runs files of dense layers in one runtime, in a process whose crash is a result.

    python -m converters.capability.layer_runner RUNTIME FOLDER COUNT

FOLDER holds `I.tflite`, files with one layer, and `I.npy`, inputs [M, K], for I below COUNT. Every file is run with all
rows and with one row, with and without XNNPACK; one JSON line per file and way says whether the runtime computed it,
refused it or crashed. Outputs go to `I.WAY.npy`, [M + 1, N]: those of all rows, then those of the first row alone.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.custom_ops import FULLY_CONNECTED, library_path
from converters.runtime.interpreters import import_runtime

WAYS = {"xnnpack": "BUILTIN", "plain": "BUILTIN_WITHOUT_DEFAULT_DELEGATES"}


def main() -> None:
    """Runs all files; the process was started with the arguments of the module."""
    runtime, folder, count = sys.argv[1:]
    module = import_runtime(runtime)
    # Output of a native library must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    work = [(index, way) for index in range(int(count)) for way in WAYS]
    while work:
        done, signal = _run_until_a_crash(module, Path(folder), work)
        if signal:
            done.append({"crashed": signal})
        for (index, way), answer in zip(work, done, strict=False):
            print(json.dumps({"index": index, "way": way, **answer}), file=answers)
        work = work[len(done) :]


def _run_until_a_crash(
    module: ModuleType, folder: Path, work: list[tuple[int, str]]
) -> tuple[list[dict[str, Any]], int]:
    """Returns the answers of a child process, and the signal that ended it, 0 if none did."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(readable)
        with os.fdopen(writable, "w") as pipe:
            for index, way in work:
                print(json.dumps(_run(module, folder, index, way)), file=pipe, flush=True)
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        answers = [json.loads(line) for line in pipe]
    status = os.waitpid(child, 0)[1]
    return answers, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _run(module: ModuleType, folder: Path, index: int, way: str) -> dict[str, Any]:
    resolver = getattr(module.OpResolverType, WAYS[way])
    content, x = (folder / f"{index}.tflite").read_bytes(), np.load(folder / f"{index}.npy")
    ours = FULLY_CONNECTED.encode() in content
    delegates = [module.load_delegate(str(library_path()))] if ours else []
    try:
        interpreter = module.Interpreter(
            model_content=content,
            num_threads=1,
            experimental_op_resolver_type=resolver,
            experimental_delegates=delegates,
        )
        y = np.concatenate([_compute(interpreter, x), _compute(interpreter, x[:1])])
    except (RuntimeError, ValueError) as error:
        return {"refused": " ".join(str(error).split())}
    np.save(folder / f"{index}.{way}.npy", y)
    return {}


def _compute(interpreter: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


if __name__ == "__main__":
    main()
