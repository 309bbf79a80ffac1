"""The classes, methods and fields of the system that a dex refers to, checked against Android's.

The app is compiled against our own stand-in of the framework. A slip there would compile and then crash on a phone; so
the finished dex is compared with the real API.
"""

from __future__ import annotations

import re
import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from android_bench.toolchain.apk.tools import run

_TABLES = 0x38  # in the header: count and offset of strings, types, prototypes, fields, methods, classes
_INDEX = struct.Struct("<I")
_PROTOTYPE = struct.Struct("<III")
_MEMBER = struct.Struct("<HHI")
_CLASS = struct.Struct("<8I")
_HEADING = re.compile(r"^\S.*?\b(?:class|interface) (\S+)(.*) \{$")


@dataclass(frozen=True)
class Member:
    """A field or method: `name` of class `owner` (as in `android.os.Bundle`), with a descriptor as in a class file."""

    owner: str
    name: str
    descriptor: str

    def __str__(self) -> str:
        return f"{self.owner}.{self.name} {self.descriptor}"


def system_references(dex: bytes) -> set[Member]:
    """Returns the members that a dex uses of classes that it does not define itself."""
    reader = _Dex(dex)
    defined = {reader.types[index] for index, *_ in reader.rows(5, _CLASS)}
    members = {
        Member(_class_name(reader.types[owner]), reader.strings[name], reader.types[kind])
        for owner, kind, name in reader.rows(3, _MEMBER)
        if reader.types[owner] not in defined
    }
    for owner, prototype, name in reader.rows(4, _MEMBER):
        if reader.types[owner] not in defined and not reader.types[owner].startswith("["):
            members.add(Member(_class_name(reader.types[owner]), reader.strings[name], reader.prototypes[prototype]))
    return members


def missing_references(references: set[Member], api: Path) -> list[Member]:
    """Returns the members of Android's own packages that a jar with Android's API lacks.

    Args:
      references: those of a dex. Java's standard library is not looked at: javac's `--release` has checked it.
      api: jar whose classes have Android's signatures.
    """
    wanted = {one for one in references if not one.owner.startswith("java.")}
    classes = _read_api({one.owner for one in wanted}, api)
    return sorted((one for one in wanted if not _has(classes, one.owner, (one.name, one.descriptor))), key=str)


class _Dex:
    def __init__(self, content: bytes) -> None:
        if not content.startswith(b"dex\n"):
            raise ValueError("not a dex file")
        self.content = content
        self.strings = [self._string(offset) for (offset,) in self.rows(0, _INDEX)]
        self.types = [self.strings[index] for (index,) in self.rows(1, _INDEX)]
        self.prototypes = [
            f"({''.join(self._type_list(parameters))}){self.types[result]}"
            for _, result, parameters in self.rows(2, _PROTOTYPE)
        ]

    def rows(self, table: int, row: struct.Struct) -> list[tuple[int, ...]]:
        count, offset = struct.unpack_from("<II", self.content, _TABLES + 8 * table)
        return [row.unpack_from(self.content, offset + row.size * index) for index in range(count)]

    def _string(self, offset: int) -> str:
        while self.content[offset] & 0x80:  # its length, which the zero byte at its end tells too
            offset += 1
        begin = offset + 1
        return self.content[begin : self.content.index(0, begin)].decode("utf-8", "replace")

    def _type_list(self, offset: int) -> list[str]:
        if not offset:
            return []
        (count,) = struct.unpack_from("<I", self.content, offset)
        return [self.types[index] for index in struct.unpack_from(f"<{count}H", self.content, offset + 4)]


@dataclass
class _ApiClass:
    parents: set[str]
    members: set[tuple[str, str]] = field(default_factory=set)


def _read_api(names: set[str], api: Path) -> dict[str, _ApiClass]:
    """Returns the classes of the jar with these names, and all that they inherit from but those of Java."""
    with zipfile.ZipFile(api) as jar:
        in_jar = {name.removesuffix(".class").replace("/", ".") for name in jar.namelist()}
    classes: dict[str, _ApiClass] = {}
    while todo := sorted({name for name in names if name in in_jar or name.startswith("java.")} - classes.keys()):
        described = run("javap", "-protected", "-s", "-cp", api, *todo)
        classes |= _parse_javap(described)
        names = {parent for one in classes.values() for parent in one.parents}
    return classes


def _parse_javap(text: str) -> dict[str, _ApiClass]:
    classes: dict[str, _ApiClass] = {}
    owner = member = ""
    for line in _without_type_parameters(text).splitlines():
        if heading := _HEADING.search(line):
            owner = heading[1]
            parents = set(re.findall(r"[\w.$]+", heading[2])) - {"extends", "implements"}
            classes[owner] = _ApiClass(parents)
        elif line.startswith("    descriptor: "):
            name = member.split("(")[0].split()[-1].rstrip(";")
            kind = line.removeprefix("    descriptor: ")
            classes[owner].members.add(("<init>" if name == owner else name, kind))
        else:
            member = line
    return classes


def _without_type_parameters(text: str) -> str:
    while (shorter := re.sub(r"<[^<>]*>", "", text)) != text:
        text = shorter
    return text


def _has(classes: dict[str, _ApiClass], name: str, member: tuple[str, str]) -> bool:
    one = classes.get(name)
    return one is not None and (member in one.members or any(_has(classes, parent, member) for parent in one.parents))


def _class_name(descriptor: str) -> str:
    return descriptor.removeprefix("L").removesuffix(";").replace("/", ".")
