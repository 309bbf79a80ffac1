"""LiteRT's versions of a float model: smaller, close to it, and with the metadata that our tools need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.evaluation.baselines import BITS, write_baseline
from converters.flatbuffer.editor import GraphFile
from converters.flatbuffer.reader import read_tflite
from converters.runtime.model import open_model
from tests.support.packed_layer import recognizer_layers
from tests.support.tflite_builder import RecognizerBuilder
from tests.support.tiny_conformer import tiny_tokenizer
from tfconformer.errors import InputError

# 8-bit weights and 8-bit activations in the two blocks of the random model moved its logits by 1.5 %; a wrong scale
# or a permuted channel moves them by their own size.
INT8_RELATIVE_RMS = 0.05


@pytest.fixture(scope="module")
def float_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from converters.exporter.pipeline import describe, freeze_prepared, prepare
    from converters.exporter.rewrite import rewrite
    from tests.support.tiny_conformer import tiny_config, tiny_model
    from tfconformer.tasks import find_task

    config, tokenizer = tiny_config(), tiny_tokenizer()
    prepared = prepare(find_task(config.task), tiny_model(config))
    frozen = freeze_prepared(prepared, config)
    metadata = describe(prepared, frozen, config, tokenizer)
    path = tmp_path_factory.mktemp("baselines") / "float.tflite"
    path.write_bytes(rewrite(frozen, {}, metadata))
    return path


def matrix_types(path: Path) -> dict[tuple[int, ...], int]:
    """Shape and type of the constant matrices."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    found = {}
    for operation in model.subgraphs[0].operators:
        code = model.operatorCodes[operation.opcodeIndex]
        if max(code.builtinCode, code.deprecatedBuiltinCode) == schema.BuiltinOperator.FULLY_CONNECTED:
            tensor = model.subgraphs[0].tensors[operation.inputs[1]]
            found[tuple(tensor.shape)] = tensor.type
    return found


def test_baselines_are_versions_of_the_model(float_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_quantizer", reason="the extra 'baselines' is not installed")
    stored = {8: schema.TensorType.INT8, 4: schema.TensorType.INT4, 2: schema.TensorType.INT2}
    waveform = np.random.default_rng(0).uniform(-0.5, 0.5, 16000).astype(np.float32)
    expected = open_model(float_model).run(waveform)
    sizes = [float_model.stat().st_size]
    for bits in BITS:
        path = tmp_path / f"{bits}.tflite"
        write_baseline(float_model, bits, path)
        assert read_tflite(path).metadata["TFCONFORMER"] == read_tflite(float_model).metadata["TFCONFORMER"]
        types = matrix_types(path)
        assert types.pop((80, 257)) == schema.TensorType.FLOAT32, "the filter bank should stay float"
        assert types.pop((tiny_tokenizer().vocabulary_size + 1, 32)) == schema.TensorType.FLOAT32, (
            "the head should stay float"
        )
        assert set(types.values()) == {stored[bits]}
        logits = open_model(path).run(waveform)
        assert logits.shape == expected.shape and np.isfinite(logits).all()
        if bits == 8:
            assert np.linalg.norm(logits - expected) < INT8_RELATIVE_RMS * np.linalg.norm(expected)
        sizes.append(path.stat().st_size)
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == len(sizes)


def test_refuses_packed_models_and_other_widths(tmp_path: Path) -> None:
    path = tmp_path / "packed.tflite"
    path.write_bytes(RecognizerBuilder(recognizer_layers()).finish())
    with pytest.raises(InputError, match=r"packed.tflite: baselines are made from a float model"):
        write_baseline(path, 8, tmp_path / "baseline.tflite")
    with pytest.raises(InputError, match="8, 4 or 2 bits, got 3"):
        write_baseline(path, 3, tmp_path / "baseline.tflite")
    with pytest.raises(InputError, match="cannot be read"):
        write_baseline(tmp_path / "none.tflite", 8, tmp_path / "baseline.tflite")


def test_a_damaged_model_is_refused_in_one_sentence(float_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_quantizer", reason="the extra 'baselines' is not installed")
    file = GraphFile.parse(float_model.read_bytes())
    (matrix, *_) = [one for one in file.graphs[0].subgraph.tensors if tuple(one.shape) == (32, 32)]
    matrix.buffer = file.add_buffer(np.zeros(8, np.uint8))
    (tmp_path / "damaged.tflite").write_bytes(file.to_bytes())
    with pytest.raises(InputError, match=r"damaged.tflite: ai-edge-quantizer cannot quantize it \(cannot reshape"):
        write_baseline(tmp_path / "damaged.tflite", 8, tmp_path / "baseline.tflite")
