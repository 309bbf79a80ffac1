from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tfconformer.data.speech import debian_packages
from tfconformer.data.speech.debian_packages import ArchiveUnreachableError, fetch

NEEDS_DPKG = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A real .deb file with one documented file in it."""
    tree = tmp_path / "tree"
    for path, content in (
        ("DEBIAN/control", "Package: tiny\nVersion: 1.2-3\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n"),
        ("usr/share/doc/tiny/copyright", "free\n"),
    ):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(content)
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", str(tree), str(tmp_path / "tiny.deb")], check=True)
    return tmp_path / "tiny.deb"


def fake_apt_get(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "apt-get").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def download_of(archive: Path) -> str:
    """What `apt-get ... download` does; `apt-get ... update` has nothing to do."""
    return f'case "$*" in *download*) cp {archive} tiny_1.2-3_all.deb;; esac'


@NEEDS_DPKG
def test_a_package_is_fetched_once_and_then_taken_from_the_cache(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_apt_get(tmp_path / "bin", download_of(archive), monkeypatch)
    cache = tmp_path / "cache"
    package = fetch("tiny", cache)
    assert (package.name, package.version) == ("tiny", "1.2-3")
    assert (package.documentation / "copyright").read_text() == "free\n"
    fake_apt_get(tmp_path / "bin", "exit 1", monkeypatch)
    assert fetch("tiny", cache) == package
    monkeypatch.chdir(tmp_path)
    assert fetch("tiny", Path("cache")).version == "1.2-3"


@NEEDS_DPKG
def test_a_failed_download_says_why_and_leaves_nothing_usable_behind(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_apt_get(tmp_path / "bin", "echo 'E: Unable to locate package tiny' >&2; exit 100", monkeypatch)
    with pytest.raises(
        ArchiveUnreachableError, match=r"Unable to locate package tiny.*is the Debian archive reachable"
    ):
        fetch("tiny", tmp_path / "cache")
    fake_apt_get(tmp_path / "bin", download_of(archive), monkeypatch)
    assert fetch("tiny", tmp_path / "cache").version == "1.2-3"


@NEEDS_DPKG
def test_another_suite_comes_from_the_archive_that_is_configured(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = (
        "'https://mirror.example/debian-security/dists/bookworm-security/InRelease' security 0",
        "'https://mirror.example/debian/dists/bookworm/InRelease' release 0",
    )
    print_addresses = (
        f"""case "$*" in *print-uris*) printf '%s\\n' {" ".join(f'"{line}"' for line in addresses)};; esac"""
    )
    fake_apt_get(tmp_path / "bin", f"{print_addresses}\n{download_of(archive)}", monkeypatch)
    assert fetch("tiny", tmp_path / "cache", suite="sid").version == "1.2-3"
    sources = (tmp_path / "cache/.apt/sources.list").read_text()
    assert sources == "deb https://mirror.example/debian sid main\n"
    fake_apt_get(tmp_path / "bin", download_of(archive), monkeypatch)
    with pytest.raises(ArchiveUnreachableError, match="no Debian archive"):
        fetch("tiny", tmp_path / "other", suite="sid")


def test_another_system_is_said_to_be_no_debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ArchiveUnreachableError, match="apt-get is not installed"):
        debian_packages.fetch("tiny", tmp_path / "cache")
