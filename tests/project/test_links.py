"""Relative links of Markdown pages lead to files and headings of this repository, and the README fits its page."""

import re
from pathlib import Path

import pytest

_CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    found = []
    for link in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8"))):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if "://" not in link and not (target.exists() and (not anchor or anchor in anchors(target))):
            found.append(link)
    return found


@pytest.fixture(scope="module")
def pages(pytestconfig: pytest.Config) -> list[Path]:
    root = pytestconfig.rootpath
    pages = [
        *root.glob("*.md"),
        *(page for folder in ("android_bench", "docs", "models", "samples") for page in (root / folder).rglob("*.md")),
    ]
    assert len(pages) > 20
    return pages


def test_links_lead_somewhere(pages, pytestconfig):
    assert not {str(page.relative_to(pytestconfig.rootpath)): links for page in pages if (links := broken(page))}


def test_the_readme_is_one_page(pytestconfig):
    assert len((pytestconfig.rootpath / "README.md").read_text(encoding="utf-8").splitlines()) <= 90


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A title\n[a](page.md#a-title) [b](page.md#b) [c](none.md) `[d](none.md)` [e](https://e.org/none)\n"
    )
    assert broken(page) == ["page.md#b", "none.md"]
