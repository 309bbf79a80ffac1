"""Compiles the native library; everything else about the package is in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = Path("converters/custom_ops")


class BuildSharedLibrary(build_ext):
    """Builder of a plain shared library, which TFLite runtimes load and which is no Python module."""

    def get_ext_filename(self, fullname: str) -> str:
        return f"{fullname.replace('.', '/')}.so"


setup(
    cmdclass={"build_ext": BuildSharedLibrary},
    ext_modules=[
        Extension(
            "converters.custom_ops.libtfconformer_ops",
            sources=sorted(str(path) for path in SOURCES.rglob("*.c")),
            libraries=["m", "pthread"],
            depends=sorted(str(path) for path in SOURCES.rglob("*.h")),
            extra_compile_args=[
                "-std=c11",
                "-O3",
                "-DNDEBUG",  # assertions are for the tests, which compile the sources themselves
                "-Wall",
                "-Wextra",
                "-ffp-contract=off",  # a fused multiply-add would change the documented result
                "-fno-wrapv",  # Python asks for -fwrapv, with which gcc makes matrix products an eighth slower
                "-fvisibility=hidden",
            ],
            extra_link_args=["-Wl,--strip-all"],  # debugging symbols are nine tenths of the size
        )
    ],
)
