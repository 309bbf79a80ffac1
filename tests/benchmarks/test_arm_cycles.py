"""The search for the hot loop among blocks of instructions; the model itself is llvm-mca's."""

from __future__ import annotations

import pytest

from benchmarks.arm_cycles import Block, hot_loop, multiply_adds, parse_blocks
from tfconformer.errors import InputError

SDOT, ADD, NOP = 0x4E829420, 0x91000400, 0xD503201F
FIRST = 0x1000


def jump(words: int) -> int:
    """The code of `b.ne`, that many instructions on."""
    return 0x54000001 | (words & 0x7FFFF) << 5


def test_blocks_are_parsed() -> None:
    text = f"regions 4 instructions 9 products 2\nblock 1000 a 1 {SDOT:x} {jump(-1):x}\n"
    assert parse_blocks(text) == [Block(FIRST, 10, 1, (SDOT, jump(-1)))]
    assert parse_blocks(text)[0].target == FIRST


def test_the_innermost_loop_is_chosen() -> None:
    inner = Block(FIRST + 4, 40, 1, (SDOT, jump(-1)))
    outer = Block(FIRST, 10, 0, (ADD,))
    end = Block(inner.end, 10, 0, (NOP, jump(-4)))
    assert hot_loop([outer, inner, end]) == inner.instructions


def test_a_loop_may_be_several_blocks() -> None:
    """One that ends without a jump, one that jumps over code that is not executed, and the last."""
    first = Block(FIRST, 10, 1, (SDOT,))
    second = Block(first.end, 10, 0, (ADD, jump(5)))
    third = Block(FIRST + 8 + 4 * 5, 10, 0, (NOP, jump(-8)))
    assert third.target == FIRST
    assert hot_loop([third, first, second]) == (SDOT, ADD, jump(5), NOP, jump(-8))


def test_straight_code_is_no_loop() -> None:
    with pytest.raises(InputError, match="no loop"):
        hot_loop([Block(FIRST, 10, 1, (SDOT, ADD))])


def test_multiply_adds_are_those_of_the_instructions() -> None:
    assert multiply_adds(".Lloop:\nsdot v0.4s, v1.16b, v2.16b\nsmmla v0.4s, v1.16b, v2.16b\nb.ne .Lloop\n") == 16 + 32
