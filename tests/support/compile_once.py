"""A C compiler that compiles equal text with equal options once, for tests that build the native library.

    python compile_once.py FOLDER COMPILER WORD...

The first compilation of a file puts its object into FOLDER, from which every later one takes it. Preprocessing is never
left out, so a header that a build lacks fails it. Nothing is optimized, which takes four fifths of a compilation.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def caching_compiler(folder: Path, compiler: str) -> Path:
    """Writes a program that is called as `compiler` is, and returns its path."""
    objects, program = folder / "objects", folder / compiler
    objects.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "{objects}" "{compiler}" "$@"\n')
    program.chmod(0o755)
    return program


def main() -> None:
    folder, compiler, *words = sys.argv[1:]
    if "-c" not in words:
        os.execvp(compiler, [compiler, *words])
    place = words.index("-o")
    output, options = Path(words[place + 1]), words[:place] + words[place + 2 :]
    # -P leaves out the lines that name the folder of the file.
    preprocess = [compiler, *(word for word in options if word != "-c"), "-E", "-P"]
    text = subprocess.run(preprocess, stdout=subprocess.PIPE, check=True).stdout
    key = hashlib.sha256("\0".join([compiler, *options]).encode() + text).hexdigest()
    kept = Path(folder) / f"{key}.o"
    if not kept.exists():
        subprocess.run([compiler, *words, "-O0"], check=True)
        shutil.copy(output, kept)
    shutil.copy(kept, output)


if __name__ == "__main__":
    main()
