"""The Python programs of the pages run as they are written, one after the other in one process and an empty folder."""

import re

import pytest

PAGES = ["docs/guides/keras.md"]
LONGEST = 10  # lines of code of a program
_PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_the_programs_of_a_page_run(page, pytestconfig, tmp_path, monkeypatch, capsys):
    programs = _PROGRAM.findall((pytestconfig.rootpath / page).read_text(encoding="utf-8"))
    assert len(programs) == 3
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for program in programs:
        assert len([line for line in program.splitlines() if line]) <= LONGEST
        exec(compile(program, page, "exec"), names)
    assert "bits per packed weight" in capsys.readouterr().out
