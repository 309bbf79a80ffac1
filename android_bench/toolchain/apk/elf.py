"""Properties of a shared library that can be read before any phone loads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.constants import P_FLAGS
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.enums import ENUM_DT_FLAGS
from elftools.elf.sections import SymbolTableSection

from tfconformer.errors import InputError


@dataclass(frozen=True)
class Library:
    """A shared library.

    Attributes:
      machine: such as "EM_AARCH64".
      alignment: smallest alignment of its loaded segments, bytes.
      writable_code: whether a segment, or the stack, can be written to and executed.
      text_relocations: whether the loader would have to write into code.
      needed: names of the libraries that it is linked with.
      imports: symbols that others must define; weak ones, which may be absent, are left out.
      exports: symbols that it defines for others.
    """

    machine: str
    alignment: int
    writable_code: bool
    text_relocations: bool
    needed: tuple[str, ...]
    imports: frozenset[str]
    exports: frozenset[str]


def read_library(path: Path) -> Library:
    """Reads a 64-bit ELF shared library.

    Raises:
      InputError: the file is none.
    """
    with path.open("rb") as file:
        try:
            elf = ELFFile(file)
        except ELFError as error:
            raise InputError(f"{path} is no ELF file: {error}") from None
        dynamic = elf.get_section_by_name(".dynamic")
        symbols = elf.get_section_by_name(".dynsym")
        if not isinstance(dynamic, DynamicSection) or not isinstance(symbols, SymbolTableSection):
            raise InputError(f"{path} is no shared library")
        segments = [segment.header for segment in elf.iter_segments()]
        tags = [(tag.entry.d_tag, tag) for tag in dynamic.iter_tags()]
        flags = sum(tag.entry.d_val for name, tag in tags if name == "DT_FLAGS")
        named = [symbol for symbol in symbols.iter_symbols() if symbol.name]
        undefined = [symbol for symbol in named if symbol["st_shndx"] == "SHN_UNDEF"]
        return Library(
            machine=elf.header["e_machine"],
            alignment=min(header.p_align for header in segments if header.p_type == "PT_LOAD"),
            writable_code=any(header.p_flags & P_FLAGS.PF_W and header.p_flags & P_FLAGS.PF_X for header in segments),
            text_relocations=any(name == "DT_TEXTREL" for name, _ in tags) or bool(flags & ENUM_DT_FLAGS["DF_TEXTREL"]),
            needed=tuple(_needed(tag) for name, tag in tags if name == "DT_NEEDED"),
            imports=frozenset(one.name for one in undefined if one["st_info"]["bind"] == "STB_GLOBAL"),
            exports=frozenset(one.name for one in named if one["st_shndx"] != "SHN_UNDEF"),
        )


def _needed(tag: Any) -> str:
    return tag.needed  # an attribute that pyelftools gives tags of this kind only
