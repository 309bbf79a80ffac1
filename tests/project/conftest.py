"""The compiler that the builds of both wheels share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.compile_once import caching_compiler


@pytest.fixture(scope="session")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """gcc, which compiles a file of the native library once for both wheels."""
    return caching_compiler(tmp_path_factory.mktemp("compiler"), "gcc")
