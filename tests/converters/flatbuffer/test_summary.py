import tensorflow as tf
import tf_keras as keras

from converters.exporter.metadata import abstract_layer_records
from converters.exporter.placeholders import with_placeholders
from converters.flatbuffer.metadata import LayerRecord
from converters.flatbuffer.summary import layer_rows
from tfconformer.config import Config, TrainingConfig
from tfconformer.data.config import DataConfig
from tfconformer.models.config import ModelConfig, TransducerConfig
from tfconformer.models.cost import input_rates, macs_per_second
from tfconformer.quantization.spec import QuantSpec
from tfconformer.reports.layer_table import LayerRow
from tfconformer.tasks import find_task
from tfconformer.training.checkpoint import abstract_model

CONFIG = Config(
    data=DataConfig(train=("t",), dev=("d",)),
    model=ModelConfig(blocks=1, dim=16, heads=2, conv_kernel=5, subsampling_channels=4),
    training=TrainingConfig(epochs=1, steps_per_epoch=1, learning_rate=1e-3),
)


def record(name: str, kind: str, parameters: int, **more) -> LayerRecord:
    return LayerRecord(name, kind, parameters, **{"float_bytes": 4 * parameters, **more})


def test_rows_of_records():
    spec = QuantSpec(bits=2, symmetric=False, block_size=8).model_dump()
    sizes = {f"{part}_bytes": 256 for part in ("float", "code", "scale", "offset")}
    rows = layer_rows(
        [
            record("block_00_norm", "normalization", 32),
            record("ctc_head", "dense", 357, k=16, n=21),
            record("block_00_ff1_expand", "dense", 1088, k=16, n=64, spec=spec, sqnr_db=8.5, **sizes),
            record("block_00_attention_query", "dense", 256, k=16, n=16, spec={**spec, "bits": 4, "block_size": None}),
        ],
        {"ctc_head": 25 * 16 * 21, "block_00_ff1_expand": 25 * 16 * 64},
    )
    assert rows[0] == LayerRow("block_00_norm", "normalization", (), 32, "", 32, 128, 0.0)
    assert rows[1] == LayerRow("ctc_head", "dense", (16, 21), 32, "", 357, 1428, 25 * 16 * 21)
    assert rows[2] == LayerRow("block_00_ff1_expand", "dense", (16, 64), 2, "block 8", 1088, 1024, 25 * 16 * 64, 8.5)
    assert (rows[3].bits, rows[3].granularity) == (4, "channel")


def test_multiplications_per_second():
    """100 feature frames a second, 50 behind the first convolution, 25 behind the second; 80 mel bins halved twice."""
    macs = macs_per_second(abstract_model(CONFIG, 20), input_rates(CONFIG.features, CONFIG.model))
    expected = {
        "subsampling": 50 * 40 * 9 * 1 * 4,
        "subsampling_convolution": 25 * 20 * 9 * 4 * 4,
        "block_00_conv_depthwise": 25 * 5 * 16,
        "block_00_attention_position": 2 * 25 * 16 * 16,
        "ctc_head": 25 * 16 * 21,
        "block_00_norm": 0,
    }
    assert {name: macs[name] for name in expected} == expected


def test_multiplications_of_a_transducer_count_a_label_and_a_step_of_the_joint_network_per_frame():
    sizes = TransducerConfig(embedding=8, lstm_units=12, joint=10)
    model = CONFIG.model.model_copy(update={"transducer": sizes})
    config = CONFIG.model_copy(update={"task": "recognition_transducer", "model": model})
    macs = macs_per_second(abstract_model(config, 20), input_rates(CONFIG.features, CONFIG.model))
    expected = {
        "joint_encoder": 25 * 16 * 10,
        "prediction_embedding": 25 * 20 * 8,
        "prediction_lstm_input": 25 * 8 * 48,
        "prediction_lstm_recurrent": 25 * 12 * 48,
        "joint_prediction": 25 * 12 * 10,
        "joint_head": 25 * 10 * 21,
    }
    assert {name: macs[name] for name in expected} == expected


def test_multiplications_are_those_of_the_graph():
    """Against TensorFlow's own count of floating-point operations, two to a multiplication and its addition."""
    frames, encoder_frames, dim, tokens = 400, 100, CONFIG.model.dim, 20
    structure = find_task(CONFIG.task).exported_part(abstract_model(CONFIG, tokens), streaming=False)
    model = with_placeholders(structure, (), random=True)
    macs = macs_per_second(structure, input_rates(CONFIG.features, CONFIG.model))
    assert macs_per_second(model, input_rates(CONFIG.features, CONFIG.model)) == macs
    rows = layer_rows(abstract_layer_records(structure, {}), macs)
    seconds = frames * CONFIG.features.frame_step / CONFIG.features.sample_rate
    with_weights = sum(row.macs for row in rows) * seconds
    # Left out of the summary: queries times keys, queries times positions, attention times values. Of positions there
    # are 2 T - 1, not 2 T.
    between_activations = (encoder_frames**2 + encoder_frames * (2 * encoder_frames - 1) + encoder_frames**2) * dim
    assert operations(model, frames) == 2 * (with_weights - dim**2 + between_activations)


def operations(model: keras.Model, frames: int) -> int:
    """What matrix products and convolutions of one utterance cost; elementwise operations are left out."""
    signature = tf.TensorSpec([1, frames, CONFIG.features.mel_bins]), tf.TensorSpec([1], tf.int32)

    @tf.function(input_signature=signature)
    def run(features: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return model([features, lengths])

    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation() | {"output": "none"}
    node = tf.compat.v1.profiler.profile(run.get_concrete_function().graph, cmd="op", options=options)
    count = 0
    while node.children:
        (node,) = node.children
        if node.name in ("MatMul", "BatchMatMulV2", "Conv2D", "DepthwiseConv2dNative"):
            count += node.float_ops
    return count
