"""The language of docstrings and pages: how a docstring may begin, and no history outside the changelog."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("android_bench", "benchmarks", "converters", "tfconformer")
PAGES = ("*.md", "docs/**/*.md", "models/**/*.md", "samples/**/*.md", "android_bench/*.md")
CHANGELOG = "CHANGELOG.md"

# A docstring says what something does or is; it does not begin with half a question or a comparison.
OPENINGS = ("As", "How", "Of", "The same", "What", "Where", "Whether", "Without")
# Pages describe how things are.
HISTORY = ("now", "anew", "still", "any more", "anymore", "no longer")

_OPENING = re.compile(rf"({'|'.join(OPENINGS)})\b")
_HISTORY = re.compile(rf"\b({'|'.join(HISTORY)})\b", re.IGNORECASE)
_CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """The line and text of every docstring of a module, its classes and functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text


def faults(source: str) -> list[int]:
    """The lines of the docstrings that begin with one of `OPENINGS`."""
    return [line for line, text in docstrings(source) if _OPENING.match(text)]


def history(page: str) -> list[str]:
    """The lines of a page that hold one of `HISTORY` outside of code."""
    return [line for line in _CODE.sub("", page).splitlines() if _HISTORY.search(line)]


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_begin_with_a_verb_or_a_noun(package, pytestconfig):
    found = [
        f"{file.relative_to(pytestconfig.rootpath)}:{line}"
        for file in sorted((pytestconfig.rootpath / package).rglob("*.py"))
        for line in faults(file.read_text(encoding="utf-8"))
    ]
    assert not found


def test_pages_tell_no_history(pytestconfig):
    root: Path = pytestconfig.rootpath
    pages = {page for pattern in PAGES for page in root.glob(pattern)} - {root / CHANGELOG}
    assert len(pages) > 20
    assert not {str(page.relative_to(root)): found for page in pages if (found := history(page.read_text()))}


def test_the_rules_find_what_they_forbid():
    assert faults('"""A module."""\ndef f():\n    """What it does."""\n') == [3]
    assert faults('class C:\n    """As `B`, but faster."""\n') == [2]
    assert faults('def f():\n    """Ofen. Assembles, whatever."""\n') == []
    assert history("It is fast now.\n`now()` and\n```\nanew\n```\n") == ["It is fast now."]
