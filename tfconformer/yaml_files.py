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
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, PlainSerializer, SerializationInfo, WithJsonSchema

from tfconformer.errors import InputError, one_line

_MOST_NODES = 100_000
_DEEP = re.compile(r"(?:[\[{]\s*){100}")
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
    base = Path(os.path.realpath(path)).parent if folder is None else folder.resolve()

    try:
        tree = load_yaml(path.read_bytes().decode("utf-8-sig"), base)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the {kind} {path}: {error}") from None
    except ValueError as error:
        raise InputError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path}: expected a mapping at the top level")
    return tree


def load_yaml(text: str, folder: Path | None = None) -> Any:
    """Parses YAML, which is a little stricter than the standard: what is easily meant otherwise is refused.

    Args:
      text: the document.
      folder: the folder that relative paths in it are relative to; None for the working directory.

    Raises:
      ValueError: it is not YAML, a mapping has a key twice, a number is in base 60, as `2:4` without quotes, a text is
        not Unicode, or aliases or nesting make it too large; the message is one line.
    """

    class Loader(_StrictLoader):
        pass

    def construct_text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> _Text | str:
        plain = str(loader.construct_scalar(node))
        if not _is_unicode(plain):
            raise _fault(node, "half of a pair of surrogates is no text")
        if folder is None:
            return plain
        marked = _Text(plain)
        marked.folder = folder
        return marked

    Loader.add_constructor("tag:yaml.org,2002:str", construct_text)
    if _DEEP.search(text):  # which the parser takes long to find out
        raise ValueError("it is nested too deep")
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(one_line(error)) from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:  # of values such as 2024-99-99
        raise ValueError(f"a value cannot be read ({one_line(error)})") from None


class _StrictLoader(yaml.SafeLoader):
    """A loader that refuses what is easily meant otherwise."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            _check_size(node, {})
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                name = (key.tag, key.value)
                if name in lines:
                    raise _fault(key, f"the key {key.value!r} is there already, in line {lines[name] + 1}")
                lines[name] = key.start_mark.line
        return super().construct_mapping(node, deep)


def _construct_number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int | float:
    if ":" in node.value:
        raise _fault(node, f"{node.value} is a number in base 60: put it in quotes")
    kind = loader.construct_yaml_int if node.tag.endswith("int") else loader.construct_yaml_float
    return kind(node)


for _tag in ("int", "float"):
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _construct_number)


def _check_size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Returns the number of nodes of a tree, in which aliases count as what they stand for."""
    known = sizes.get(id(node))
    if known is not None:
        if known == 0:
            raise _fault(node, "it contains itself")
        return known
    sizes[id(node)] = 0
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        children = [child for pair in node.value for child in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    size = 1 + sum(_check_size(child, sizes) for child in children)
    if size > _MOST_NODES:
        raise _fault(node, "its aliases stand for too much")
    sizes[id(node)] = size
    return size


def _is_unicode(text: str) -> bool:
    """Returns False for a text with half of a pair of surrogates, as the names of files have that are no UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _fault(node: yaml.Node, message: str) -> yaml.YAMLError:
    mark = node.start_mark
    return yaml.YAMLError(f"line {mark.line + 1}, column {mark.column + 1}: {message}")


def _reader(escape: Callable[[str], str]) -> Callable[[object], object]:
    """Returns the validator of a path field; `escape` makes a folder's name literal in what the field holds."""

    def read(value: object) -> object:
        if isinstance(value, str) and not _is_unicode(value):
            raise ValueError("a name that is not Unicode has no place in a configuration")
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
