"""The summary of Keras models: bits, bytes and multiplications of every layer, counted by hand."""

import pytest
import tf_keras as keras

import tfconformer
from tfconformer import QuantSpec
from tfconformer.errors import InputError

layers = keras.layers


def model() -> keras.Model:
    x = keras.Input([10], dtype="int32", name="x")
    y = layers.Embedding(9, 12, name="table")(x)
    y = layers.Conv1D(8, 3, padding="same", name="conv")(y)
    y = layers.LayerNormalization(name="norm")(y)
    y = layers.LSTM(4, name="lstm")(y)
    inner = keras.Sequential([keras.Input([4]), layers.Dense(5, name="dense")], name="inner")
    return keras.Model(x, layers.Dense(2, name="head")(inner(y)), name="mine")


def table(model: keras.Model) -> dict[str, list[str]]:
    """The cells of the rows by name, and the lines of the totals."""
    lines = tfconformer.summary(model).splitlines()
    assert lines[0] == model.name
    assert lines[2].split() == "Layer Kind Shape Bits Granularity Parameters Bytes MACs SQNR dB".split()
    return {line.split()[0]: line.split()[1:] for line in lines[4:] if not line.startswith("-")}


def test_a_float_model():
    rows = table(model())
    assert rows["table_embeddings"] == ["embedding", "12x9", "float", "108", "432", "0"]
    assert rows["conv_kernel"] == ["dense", "36x8", "float", "296", "1,184", "2,880"]
    assert rows["norm"] == ["other", "float", "16", "64", "0"]
    assert rows["lstm_recurrent_kernel"] == ["dense", "4x16", "float", "64", "256", "640"]
    assert rows["inner_dense_kernel"] == ["dense", "4x5", "float", "25", "100", "20"]
    total = 2880 + 10 * 8 * 16 + 10 * 4 * 16 + 20 + 10
    assert rows["Multiplications"][:8] == f"{total:,} MACs per example, free dimensions counted as".split()


def test_a_quantized_model():
    rules = {"head": None, "table": QuantSpec(bits=4, symmetric=False), ".*": QuantSpec(bits=2, block_size=8)}
    quantized = tfconformer.quantize(model(), rules)
    rows = table(quantized)
    # 6 bytes, a scale and a zero point of float32 for each of 9 rows.
    assert rows["table_embeddings"][:-1] == ["embedding", "12x9", "4", "channel", "108", str(9 * 14), "0"]
    # 288 values of 2 bits, float16 scales of 5 blocks in 8 columns, and 8 float32 biases.
    assert rows["conv_kernel"][:-1] == ["dense", "36x8", "2", "block", "8", "296", str(72 + 80 + 32), "2,880"]
    assert 0 < float(rows["conv_kernel"][-1]) < 20
    assert rows["head_kernel"] == ["dense", "5x2", "float", "12", "48", "10"]
    assert rows.keys() == table(model()).keys()


def test_what_is_not_known_is_marked():
    lstm = layers.LSTM(3, return_sequences=True, name="l")
    masked = keras.Sequential([keras.Input([None, 6]), layers.Masking(), lstm, layers.SeparableConv1D(4, 3, name="s")])
    rows = table(masked)
    assert (rows["s"][-1], rows["l"][-1]) == ("?", "?")


def test_a_subclassed_model_is_refused():
    class Subclassed(keras.Model):
        pass

    with pytest.raises(InputError, match="is a subclassed model"):
        tfconformer.summary(Subclassed(name="s"))
