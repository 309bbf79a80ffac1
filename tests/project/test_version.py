"""The version stands in pyproject.toml alone; the changelog begins with it."""

import re
import tomllib


def test_the_changelog_begins_with_the_version(pytestconfig):
    version = tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text())["project"]["version"]
    changelog = (pytestconfig.rootpath / "CHANGELOG.md").read_text()
    assert re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)[0] == version
