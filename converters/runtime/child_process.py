"""The command line of a child process that runs a module's `main` with the modules of its parent."""

from __future__ import annotations

import json
import sys

# The child gets its parent's `sys.path`, so that it imports the same modules whatever the working directory.
_START = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "importlib.import_module(sys.argv.pop(1)).main()"
)


def child_command(module: str, *arguments: str) -> list[str]:
    """Returns the command line that runs `module.main()` in a new Python, with `sys.argv[1:]` equal to `arguments`."""
    return [sys.executable, "-c", _START, json.dumps(sys.path), module, *arguments]
