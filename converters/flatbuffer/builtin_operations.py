"""The numbers of inputs and outputs of TFLite's built-in operations, on others of which the runtimes crash."""

from __future__ import annotations

from collections.abc import Sequence

from ai_edge_litert.schema_py_generated import BuiltinOperator

CUSTOM: int = BuiltinOperator.CUSTOM


def _codes(names: str) -> tuple[int, ...]:
    return tuple(getattr(BuiltinOperator, name) for name in names.split())


_CONTROL_FLOW = _codes("CALL IF WHILE")
_CELLS = _codes(
    """
    LSTM SVDF UNIDIRECTIONAL_SEQUENCE_RNN UNIDIRECTIONAL_SEQUENCE_LSTM BIDIRECTIONAL_SEQUENCE_RNN
    BIDIRECTIONAL_SEQUENCE_LSTM
    """
)
_TWO_INPUTS = _codes(
    """
    ADD EMBEDDING_LOOKUP FULLY_CONNECTED LSH_PROJECTION MUL RESIZE_BILINEAR PAD GATHER TRANSPOSE MEAN SUB DIV
    TOPK_V2 SPLIT PRELU MAXIMUM ARG_MAX MINIMUM LESS GREATER GREATER_EQUAL LESS_EQUAL TILE EXPAND_DIMS EQUAL
    NOT_EQUAL SUM POW ARG_MIN REDUCE_PROD REDUCE_MAX LOGICAL_OR LOGICAL_AND REDUCE_MIN FLOOR_DIV REDUCE_ANY FILL
    FLOOR_MOD RESIZE_NEAREST_NEIGHBOR SQUARED_DIFFERENCE MIRROR_PAD REVERSE_V2 GATHER_ND REVERSE_SEQUENCE
    MATRIX_SET_DIAG SEGMENT_SUM BATCH_MATMUL CUMSUM BROADCAST_TO RFFT2D REDUCE_ALL ASSIGN_VARIABLE ATAN2
    BITWISE_XOR RIGHT_SHIFT
    """
)
_THREE_INPUTS = _codes(
    """
    CONV_2D DEPTHWISE_CONV_2D HASHTABLE_LOOKUP BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND PADV2 SELECT SLICE
    TRANSPOSE_CONV RANGE SPLIT_V SCATTER_ND SELECT_V2 HASHTABLE_FIND HASHTABLE_IMPORT DYNAMIC_UPDATE_SLICE
    UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM UNSORTED_SEGMENT_MIN
    """
)
# Least numbers of inputs of operations that need others than one, those that may be left out counted.
_LEAST_INPUTS = {
    **dict.fromkeys((*_CONTROL_FLOW, *_codes("CALL_ONCE HASHTABLE VAR_HANDLE")), 0),
    **dict.fromkeys(_TWO_INPUTS, 2),
    **dict.fromkeys(_THREE_INPUTS, 3),
    **dict.fromkeys(_codes("STRIDED_SLICE SPARSE_TO_DENSE ONE_HOT"), 4),
    **dict.fromkeys(_codes("LSTM RNN SVDF UNIDIRECTIONAL_SEQUENCE_RNN"), 5),
    **dict.fromkeys(_codes("UNIDIRECTIONAL_SEQUENCE_LSTM BIDIRECTIONAL_SEQUENCE_LSTM"), 20),
}
# Operations whose inputs may be left out (index -1), from this input on: the bias, and parts of the cells.
_OPTIONAL_INPUTS = {
    **dict.fromkeys(_codes("CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED"), 2),
    **dict.fromkeys(_codes("TRANSPOSE_CONV"), 3),
    **dict.fromkeys(_CELLS, 1),
}
# Numbers of outputs of operations that do not have one. Those whose first option is the number, and those with
# varying numbers: control flow and cells; StableHLO, which no runtime computes by itself, begins at 162.
_OUTPUTS = {
    **dict.fromkeys(_codes("TOPK_V2 UNIQUE NON_MAX_SUPPRESSION_V4"), 2),
    **dict.fromkeys(_codes("NON_MAX_SUPPRESSION_V5"), 3),
    **dict.fromkeys(_codes("CALL_ONCE HASHTABLE_IMPORT ASSIGN_VARIABLE"), 0),
}
_OUTPUTS_OF_OPTION = frozenset(_codes("SPLIT UNPACK SPLIT_V"))
_ANY_OUTPUTS = frozenset(
    (
        *_CONTROL_FLOW,
        *_codes("HASHTABLE_LOOKUP EMBEDDING_LOOKUP_SPARSE CUSTOM DELEGATE"),
        *_codes("LSTM UNIDIRECTIONAL_SEQUENCE_LSTM BIDIRECTIONAL_SEQUENCE_RNN BIDIRECTIONAL_SEQUENCE_LSTM"),
        *range(BuiltinOperator.STABLEHLO_LOGISTIC, 256),
    )
)


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
