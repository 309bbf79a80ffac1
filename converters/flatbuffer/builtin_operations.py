"""The numbers of inputs and outputs of TFLite's built-in operations, on others of which the runtimes crash."""

from __future__ import annotations

from collections.abc import Sequence

CUSTOM = 32

_TWO_INPUTS = (
    0, 7, 9, 15, 18, 23, 34, 36, 39, 40, 41, 42, 48, 49, 54, 55, 56, 57, 58, 61, 62, 63, 69, 70, 71, 72, 74, 78, 79, 81,
    82, 84, 86, 89, 90, 91, 94, 95, 97, 99, 100, 105, 107, 112, 115, 125, 126, 128, 130, 131, 140, 144, 156, 160, 161,
)  # fmt: skip
_THREE_INPUTS = (3, 4, 10, 37, 38, 60, 64, 65, 67, 96, 102, 122, 123, 137, 138, 151, 153, 154, 155, 157)
# Least numbers of inputs of operations that need others than one, those that may be left out counted.
_LEAST_INPUTS = {
    **dict.fromkeys((31, 118, 119, 129, 136, 142), 0),  # control flow, HASHTABLE, VAR_HANDLE
    **dict.fromkeys(_TWO_INPUTS, 2),
    **dict.fromkeys(_THREE_INPUTS, 3),
    **dict.fromkeys((45, 68, 85), 4),  # STRIDED_SLICE, SPARSE_TO_DENSE, ONE_HOT
    **dict.fromkeys((16, 24, 27, 35), 5),  # LSTM, RNN, SVDF, sequences of RNN
    **dict.fromkeys((44, 52), 20),  # sequences of LSTM in one direction and both
}
# Operations whose inputs may be left out (index -1), from this input on: the bias, and parts of the cells.
_OPTIONAL_INPUTS = {
    **dict.fromkeys((3, 4, 9), 2),  # CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED
    67: 3,  # TRANSPOSE_CONV
    **dict.fromkeys((16, 27, 35, 44, 46, 52), 1),  # LSTM, SVDF, sequences of RNN and LSTM in one direction and both
}
# Numbers of outputs of operations that do not have one. Those whose first option is the number, and those with
# varying numbers: control flow and cells; StableHLO, which no runtime computes by itself, begins at 162.
_OUTPUTS = {
    **dict.fromkeys((48, 103, 120), 2),  # TOPK_V2, UNIQUE, NON_MAX_SUPPRESSION_V4
    121: 3,  # NON_MAX_SUPPRESSION_V5
    **dict.fromkeys((129, 138, 144), 0),  # CALL_ONCE, HASHTABLE_IMPORT, ASSIGN_VARIABLE
}
_OUTPUTS_OF_OPTION = frozenset({49, 88, 102})  # SPLIT, UNPACK, SPLIT_V
_ANY_OUTPUTS = frozenset(
    {
        10, 33,  # HASHTABLE_LOOKUP, EMBEDDING_LOOKUP_SPARSE
        16, 44, 46, 52,  # LSTM, sequences of it and of RNN
        31, 118, 119,  # CALL, IF, WHILE
        CUSTOM, 51,  # and DELEGATE
        *range(162, 256),
    }
)  # fmt: skip


def operand_fault(code: int, inputs: Sequence[int], outputs: Sequence[int], first_option: int) -> str | None:
    """Returns what is wrong with the numbers of an operation's inputs and outputs, as a sentence; None if nothing is.

    Args:
      code: of a built-in operation.
      inputs: indices of tensors, -1 for one that is left out.
      outputs: indices of tensors.
      first_option: the first of the operation's options, 0 if it has none.
    """
    expected = first_option if code in _OUTPUTS_OF_OPTION else _OUTPUTS.get(code, 1)
    if code not in _ANY_OUTPUTS and len(outputs) != expected:
        return f"the built-in operation {code} has {len(outputs)} outputs, expected {expected}"
    least = _LEAST_INPUTS.get(code, 1)
    if len(inputs) < least:
        return f"the built-in operation {code} has {len(inputs)} inputs, needs {least}"
    needed = inputs[: _OPTIONAL_INPUTS.get(code, len(inputs))]
    return f"the built-in operation {code} lacks its input {needed.index(-1)}" if -1 in needed else None
