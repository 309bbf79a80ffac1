"""Checkpoints that are incomplete, damaged, of another class or a newer version: one sentence that names the reason."""

import io
import json
import pickle
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.importing.conftest import CHECKPOINTS
from tfconformer.errors import InputError
from tfconformer.importing.run import import_checkpoint
from tfconformer.importing.safetensors_file import read_safetensors
from tfconformer.training.run import RunDirectory

NORM = "encoder.layers.1.norm_conv.weight"


def write_safetensors(path: Path, tensors: dict[str, tuple[str, np.ndarray]]) -> None:
    """Writes tensors with the types that their names in the format give."""
    header, values = {}, b""
    for name, (kind, array) in tensors.items():
        end = len(values) + array.nbytes
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(values), end]}
        values += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + values)


def edit_tensors(folder: Path, edit: Callable[[dict[str, tuple[str, np.ndarray]]], object]) -> None:
    path = folder / "model.safetensors"
    tensors = {name: ("F32", tensor.read()) for name, tensor in read_safetensors(path).items()}
    edit(tensors)
    write_safetensors(path, tensors)


def edit_json(name: str, edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        tree = json.loads((folder / name).read_text())
        edit(tree)
        (folder / name).write_text(json.dumps(tree))

    return change


def tensors(edit: Callable[[dict[str, tuple[str, np.ndarray]]], object]) -> Callable[[Path], None]:
    return lambda folder: edit_tensors(folder, edit)


def config(edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    return edit_json("config.json", edit)


def tokenizer(edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    return edit_json("tokenizer.json", edit)


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def newer(tree: dict[str, Any]) -> None:
    tree["transformers_version"] = "6.1.0"
    tree["encoder_config"]["gated"] = True


# Change of a checkpoint: the reason in the message.
FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a tensor less": (tensors(lambda all_: all_.pop(NORM)), f"lacks the tensor {NORM}"),
    "a tensor more": (tensors(lambda all_: all_.update(new=all_[NORM])), "does not account for: new"),
    "a tensor of another shape": (
        tensors(lambda all_: all_.update({NORM: ("F32", np.ones(9, np.float32))})),
        rf"{NORM} has shape \[9\], expected \[16\]",
    ),
    "not a number": (
        tensors(lambda all_: all_.update({NORM: ("F32", np.full(16, np.nan, np.float32))})),
        f"{NORM} has a value that is not finite",
    ),
    "a type of no weights": (
        tensors(lambda all_: all_.update({NORM: ("F8_E4M3", np.zeros(16, np.uint8))})),
        "has the type 'F8_E4M3', expected one of",
    ),
    "values cut off": (cut("model.safetensors", 40_000), "are not in the file"),
    "header cut off": (cut("model.safetensors", 100), "its header is cut off"),
    "no weights": (without("model.safetensors"), "has no model.safetensors; save the model with transformers"),
    "no features": (without("processor_config.json"), "lacks the settings of the features"),
    "a processor without features": (
        edit_json("processor_config.json", lambda tree: tree.pop("feature_extractor")),
        "lacks the settings of the features",
    ),
    "no tokenizer": (without("tokenizer.json"), "cannot read the tokenizer"),
    "no configuration": (without("config.json"), "cannot read .*config.json"),
    "another class": (
        config(lambda tree: tree.update(architectures=["WhisperForCausalLM"])),
        "holds a WhisperForCausalLM; classes that can be imported: .*ParakeetForCTC",
    ),
    "no class": (config(lambda tree: tree.pop("architectures")), "does not name the class"),
    "a newer version": (
        config(newer),
        "unknown key 'encoder_config.gated'; it was written by transformers 6.1.0, and models of up to 5.24",
    ),
    "another activation": (
        config(lambda tree: tree["encoder_config"].update(hidden_act="gelu")),
        "'encoder_config.hidden_act': Input should be 'silu'",
    ),
    "a width that is no multiple": (
        config(lambda tree: tree["encoder_config"].update(intermediate_size=33)),
        "intermediate_size 33 is no multiple",
    ),
    "heads that do not divide": (
        config(lambda tree: tree["encoder_config"].update(num_attention_heads=3, num_key_value_heads=3)),
        "dim 16 is not a multiple of heads 3",
    ),
    "a blank that is no symbol": (config(lambda tree: tree.update(pad_token_id=41)), "the blank 41 is none of the 41"),
    "more symbols than tokens": (config(lambda tree: tree.update(vocab_size=50)), "no token for the symbol 41"),
    "a tokenizer of words": (
        tokenizer(lambda tree: tree["model"].update(type="WordLevel")),
        "the type 'WordLevel' has no SentencePiece form",
    ),
    "a tokenizer of bytes": (
        tokenizer(lambda tree: tree.update(pre_tokenizer={"type": "ByteLevel"})),
        "its pre-tokenizer 'ByteLevel' has no SentencePiece form",
    ),
    "a tokenizer of another shape": (tokenizer(lambda tree: tree.update(model=[])), "is not a tokenizer"),
    "an index that leaves the folder": (
        lambda folder: (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../b"}}'),
        "names a file outside of its folder: '../b'",
    ),
}


def vocabulary(edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    return edit_json("vocab.json", edit)


# The same of a model with trained convolutions and a vocabulary.
WAVEFORM_FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a convolution less": (
        tensors(lambda all_: all_.pop("wav2vec2_conformer.feature_extractor.conv_layers.2.conv.weight")),
        "lacks the tensor wav2vec2_conformer.feature_extractor.conv_layers.2.conv.weight",
    ),
    "a stride less": (
        config(lambda tree: tree["conv_stride"].pop()),
        "channels, kernels and strides must be as many, got 7, 7 and 6",
    ),
    "an adapter": (
        config(lambda tree: tree.update(add_adapter=True)),
        "add_adapter: this package has no adapter, strided convolutions after the encoder",
    ),
    "another least variance": (
        config(lambda tree: tree.update(layer_norm_eps=1e-6)),
        "layer_norm_eps 1e-06 is not 1e-05, that of the other normalizations",
    ),
    "another base": (config(lambda tree: tree.update(rotary_embedding_base=500)), "rotary_embedding_base.*10000"),
    "an unknown key": (config(lambda tree: tree.update(gated=True)), "unknown key 'gated'"),
    "an unknown feature": (
        edit_json("processor_config.json", lambda tree: tree["feature_extractor"].update(dither=0.1)),
        "unknown key 'dither'",
    ),
    "no vocabulary": (without("vocab.json"), "cannot read the tokenizer .*vocab.json"),
    "no symbol": (
        vocabulary(lambda tree: tree.pop("q")),
        "vocab.json has no token for the symbol 21 of the model's 31",
    ),
    "no token for what is unknown": (
        vocabulary(lambda tree: tree.update({"?": tree.pop("<unk>")})),
        "vocab.json has no token <unk>, which a SentencePiece model needs",
    ),
    "a vocabulary for each language": (
        lambda folder: (folder / "vocab.json").write_text('{"eng": {"a": 1}}'),
        "vocab.json does not give every token its id",
    ),
    "a vocabulary that is a list": (
        lambda folder: (folder / "vocab.json").write_text("[]"),
        "vocab.json is no object of JSON",
    ),
    "a tokenizer of phonemes": (
        edit_json("tokenizer_config.json", lambda tree: tree.update(tokenizer_class="Wav2Vec2PhonemeCTCTokenizer")),
        "tokenizer_class 'Wav2Vec2PhonemeCTCTokenizer', and one with 'Wav2Vec2CTCTokenizer' can be imported",
    ),
}
REFUSED = [
    *(("parakeet_ctc", *fault) for fault in FAULTS.items()),
    *(("wav2vec2_none", *fault) for fault in WAVEFORM_FAULTS.items()),
]


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [(name, *change) for name, _, change in REFUSED],
    ids=[fault for _, fault, _ in REFUSED],
)
def test_a_checkpoint_that_is_none_is_refused(name, change, reason, tmp_path):
    folder, run = tmp_path / "checkpoint", RunDirectory(tmp_path / "run")
    shutil.copytree(CHECKPOINTS / name, folder)
    change(folder)
    with pytest.raises(InputError, match=reason):
        import_checkpoint(folder, run)
    assert not run.weights_file.exists()
    assert not run.config_file.exists()


def test_a_sharded_checkpoint_in_half_precision(tmp_path):
    """The upper 16 bits of a float32 are a bfloat16, and what is rounded so comes back exactly."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(CHECKPOINTS / "parakeet_ctc", folder)
    stored = read_safetensors(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    halves: list[dict[str, tuple[str, np.ndarray]]] = [{}, {}]
    expected = {}
    for index, (name, tensor) in enumerate(stored.items()):
        upper = (tensor.read().reshape(-1).view(np.uint32) >> 16).astype(np.uint16)
        halves[index % 2][name] = ("BF16", upper.reshape(tensor.shape))
        expected[name] = (upper.astype(np.uint32) << 16).view(np.float32).reshape(tensor.shape)
    for number, half in enumerate(halves):
        write_safetensors(folder / f"{number}.safetensors", half)
    places = {name: f"{number}.safetensors" for number, half in enumerate(halves) for name in half}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    read = read_safetensors(folder / "0.safetensors") | read_safetensors(folder / "1.safetensors")
    assert read.keys() == expected.keys()
    for name, tensor in read.items():
        np.testing.assert_array_equal(tensor.read(), expected[name])
    assert import_checkpoint(folder, RunDirectory(tmp_path / "run")).model.blocks == 2


class Command:
    """An object whose unpickling would run a command."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return print, ("this should not be printed",)


def torch_archive(content: object) -> bytes:
    """Returns what `torch.save` would write of an object without tensors."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content))
    return file.getvalue()


def settings(edit: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        tree = json.loads(members["./model_config.yaml"])
        edit(tree)
        members["./model_config.yaml"] = json.dumps(tree).encode()

    return change


# Change of the members of an archive: the reason in the message.
ARCHIVES: dict[str, tuple[Callable[[dict[str, bytes]], object], str]] = {
    "no weights": (lambda members: members.pop("./model_weights.ckpt"), "it lacks model_weights.ckpt"),
    "no configuration": (lambda members: members.pop("./model_config.yaml"), "it lacks model_config.yaml"),
    "no tokenizer": (lambda members: members.pop("./0123_tokenizer.model"), "it lacks 0123_tokenizer.model"),
    "another class": (
        settings(lambda tree: tree.update(target="nemo.collections.asr.models.EncDecMultiTaskModel")),
        "holds a EncDecMultiTaskModel; classes that can be imported: .*EncDecCTCModelBPE",
    ),
    "an unknown setting": (settings(lambda tree: tree["encoder"].update(gates=2)), "encoder: unknown key 'gates'"),
    "another normalization": (
        settings(lambda tree: tree["preprocessor"].update(normalize="all_features")),
        "preprocessor: 'normalize",
    ),
    "no section": (settings(lambda tree: tree.pop("preprocessor")), "has no section 'preprocessor'"),
    "code": (
        lambda members: members.update({"./model_weights.ckpt": torch_archive(Command())}),
        "it refers to builtins.print, which is no tensor",
    ),
    "numbers": (
        lambda members: members.update({"./model_weights.ckpt": torch_archive({"a": 1})}),
        "holds more than tensors by name",
    ),
    "weights cut off": (
        lambda members: members.update({"./model_weights.ckpt": members["./model_weights.ckpt"][:1000]}),
        "holds no weights that torch.save wrote",
    ),
}


@pytest.mark.parametrize("fault", ARCHIVES)
def test_an_archive_that_is_none_is_refused(fault, tmp_path, capsys):
    change, reason = ARCHIVES[fault]
    with tarfile.open(CHECKPOINTS / "nemo_conformer" / "model.nemo") as archive:
        members = {member.name: archive.extractfile(member).read() for member in archive.getmembers()}
    change(members)
    with tarfile.open(tmp_path / "model.nemo", "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(InputError, match=reason):
        import_checkpoint(tmp_path / "model.nemo", RunDirectory(tmp_path / "run"))
    assert capsys.readouterr().out == ""
