"""Records of layers whose weights do not exist are those of layers whose weights do."""

from dataclasses import replace

from converters.exporter.metadata import abstract_layer_records
from converters.exporter.pipeline import prepare
from converters.flatbuffer.metadata import LayerRecord
from tests.support.tiny_conformer import WEIGHTS_ONLY, tiny_config, tiny_model, tiny_tokenizer
from tfconformer.quantization.apply import match_layers
from tfconformer.tasks import find_task
from tfconformer.training.checkpoint import abstract_model


def test_records_need_no_weights():
    rules = [{"layers": "block_01_conv_.*", "spec": {"bits": 4, "sparsity": "2:4"}}, *WEIGHTS_ONLY]
    config, vocabulary = tiny_config(rules), tiny_tokenizer().vocabulary_size
    task = find_task(config.task)
    model = task.exported_part(abstract_model(config, vocabulary), streaming=False)
    records = abstract_layer_records(model, match_layers(model, config.quantization))
    expected = prepare(task, tiny_model(config)).layers

    def without_sizes(record: LayerRecord) -> LayerRecord:
        return replace(record, code_bytes=None, scale_bytes=None, offset_bytes=None, sqnr_db=None)

    assert [without_sizes(record) for record in records] == [without_sizes(record) for record in expected]
    by_name = {record.name: record for record in records}
    # K x N = 32 x 64: two of four weights with 4 bits and 2 bits of position; a float16 scale per channel.
    sparse = by_name["block_01_conv_expand"]
    assert (sparse.code_bytes, sparse.scale_bytes, sparse.offset_bytes) == (32 * 64 * 3 // 8, 64 * 2, 0)
    # K x N = 32 x 64 in blocks of 24 and 8, asymmetric.
    blocks = by_name["block_00_conv_expand"]
    assert (blocks.code_bytes, blocks.scale_bytes, blocks.offset_bytes) == (32 * 64 * 2 // 8, 2 * 64 * 2, 2 * 64 * 2)
