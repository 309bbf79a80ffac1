import datetime
import os
import re
import subprocess
import sys

from tests.support.results_samples import row
from tfconformer.reports import provenance


def test_the_command_is_what_a_person_would_type(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/opt/venv/bin/tfconformer", "evaluate", "my model.tflite", "--threads", "2"])
    assert provenance.command_line() == "tfconformer evaluate 'my model.tflite' --threads 2"


def test_the_time_is_utc_to_the_second():
    moment = datetime.datetime.fromisoformat(provenance.now())
    assert moment.utcoffset() == datetime.timedelta(0)
    assert moment.microsecond == 0
    assert abs(datetime.datetime.now(datetime.UTC) - moment) < datetime.timedelta(minutes=1)


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    completed = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return completed.stdout.strip()


def test_commit_of_a_checkout(tmp_path, monkeypatch):
    code = tmp_path / "provenance.py"
    code.write_text("# code\n", encoding="utf-8")
    monkeypatch.setattr(provenance, "__file__", str(code))
    assert provenance.commit() == "unknown"
    git(tmp_path, "init", "--quiet")
    assert provenance.commit() == "unknown", "the code is not tracked, as in a virtual environment inside a checkout"
    git(tmp_path, "add", "provenance.py")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert provenance.commit() == head
    git(tmp_path, "tag", "v1")
    assert provenance.commit() == head
    for document in ("results/grid.json", "README.md"):
        (tmp_path / document).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / document).write_text("1")
        git(tmp_path, "add", document)
    assert provenance.commit() == head, "documents do not change what is measured"
    code.write_text("# changed\n", encoding="utf-8")
    assert provenance.commit() == f"{head}-dirty"


def test_machine():
    machine = provenance.machine()
    assert machine.cpu
    assert machine.cores == len(os.sched_getaffinity(0))
    assert re.fullmatch(r"([\d.]+ CPUs, )?[\d.]+ GB memory", machine.limits)


def test_results_of_this_process():
    results = provenance.results_of_this_process(rows=(row("int8", "test-clean"),))
    assert results.rows == (row("int8", "test-clean"),)
    assert results.machine == provenance.machine()
