"""The Python programs of the pages run as they are written, one after the other in one process and an empty folder."""

import re

import pytest

PAGES = {"README.md": 1, "docs/guides/keras.md": 3}  # with their numbers of programs
LONGEST = 10  # lines of code of a program
_PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("page", "count"), PAGES.items())
def test_the_programs_of_a_page_run(page, count, pytestconfig, tmp_path, monkeypatch, capsys):
    programs = _PROGRAM.findall((pytestconfig.rootpath / page).read_text(encoding="utf-8"))
    assert len(programs) == count
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for program in programs:
        assert len([line for line in program.splitlines() if line]) <= LONGEST
        exec(compile(program, page, "exec"), names)
    assert list(tmp_path.glob("*.tflite")) and capsys.readouterr().out
