"""YAML files, and the one rule for paths in them: a relative path is relative to the folder of its file.

    class Data(Section):
        train: tuple[FilePattern, ...]

    Data.model_validate(read_yaml(Path("configs/small.yaml"), "configuration"))

A field of type `FilePath` or `FilePattern` holds a path as the operating system takes it: absolute, or relative to the
working directory. Strings of Python code and of the command line are already that; strings of `read_yaml` are converted
from the folder of their file, wherever in a tree of merged files they end up.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, PlainSerializer, SerializationInfo, WithJsonSchema

from tfconformer.errors import InputError

# Key of the serialization context: the folder that relative paths are written relative to.
RELATIVE_TO = "relative_to"


class _Text(str):
    """A string of a YAML file; `folder` is what it is relative to if it is a path."""

    folder: Path


def read_yaml(path: Path, kind: str, folder: Path | None = None) -> dict[str, Any]:
    """Reads a YAML file whose top level is a mapping.

    Args:
      path: the file.
      kind: noun for error messages, such as "configuration".
      folder: the folder that relative paths in the file are relative to; the file's own by default.

    Raises:
      InputError: the file cannot be read, is not YAML, or is not a mapping.
    """
    base = path.resolve().parent if folder is None else folder.resolve()

    class Loader(yaml.SafeLoader):
        def construct_text(self, node: yaml.ScalarNode) -> _Text:
            text = _Text(self.construct_scalar(node))
            text.folder = base
            return text

    Loader.add_constructor("tag:yaml.org,2002:str", Loader.construct_text)
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the {kind} {path}: {error}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path}: expected a mapping at the top level")
    return tree


def _reader(escape: Callable[[str], str]) -> Callable[[object], object]:
    """Returns the validator of a path field; `escape` makes a folder's name literal in what the field holds."""

    def read(value: object) -> object:
        if not isinstance(value, str) or Path(value).is_absolute():
            return value
        if not isinstance(value, _Text):
            return os.path.normpath(value)
        return os.path.relpath(Path(escape(str(value.folder)), value), escape(str(Path.cwd())))

    return read


def _writer(escape: Callable[[str], str]) -> Callable[[str, SerializationInfo], str]:
    """Returns the serializer of a path field; relative paths follow the folder of the context, if it has one."""

    def write(value: str, info: SerializationInfo) -> str:
        folder = (info.context or {}).get(RELATIVE_TO)
        if folder is None or Path(value).is_absolute():
            return value
        return os.path.relpath(Path(escape(str(Path.cwd())), value), escape(str(folder.resolve())))

    return write


FilePath = Annotated[
    str,
    BeforeValidator(_reader(str)),
    PlainSerializer(_writer(str), return_type=str),
    WithJsonSchema({"type": "string", "format": "path"}),
]
FilePattern = Annotated[
    str,
    BeforeValidator(_reader(glob.escape)),
    PlainSerializer(_writer(glob.escape), return_type=str),
    WithJsonSchema({"type": "string", "format": "glob"}),
]
