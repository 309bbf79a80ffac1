"""Writes the checkpoints of this folder, random models of `transformers`, with what its own code computes of them.

    python -m tests.importing.make_checkpoints            # needs transformers 5.24, torch, sentencepiece
    python -m tests.importing.make_checkpoints --check    # compares with those of this folder, and writes nothing

Each folder of `checkpoints` holds what `save_pretrained` writes, and `expected.npz`: a waveform, its features, the
outputs of all blocks and the logits, and the ids and text of a sentence. Of a transducer the logits are those of the
lattice of its greedy transcript, which is there with the encodings and the predictions; those of a hybrid's transducer
are in `expected_transducer.npz`.
"""

from __future__ import annotations

import io
import json
import string
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import sentencepiece
import torch
import transformers
from transformers.convert_slow_tokenizer import ParakeetConverter

FOLDER = Path(__file__).parent / "checkpoints"
SENTENCE = "the quick brown fox"
DURATIONS = [0, 1, 2, 3, 4]  # any others `generate` would confuse with their indices
TEXTS = [
    "the quick brown fox jumps over the lazy dog",
    "pack my box with five dozen liquor jugs",
    "the five boxing wizards",
]


def speech() -> np.ndarray:
    """Returns a sum of tones that come and go, whose length is no multiple of a frame."""
    time = np.arange(12_345) / 16000
    tones = sum(np.sin(2 * np.pi * f * time) * np.cos(3 * f * time) ** 2 for f in (130, 420, 1650, 3100))
    return (0.1 * tones + 0.01 * np.random.default_rng(0).normal(size=len(time))).astype(np.float32)


def randomize(model: torch.nn.Module) -> None:
    """Makes every weight and statistic one that a wrong import would show."""
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if name.endswith(("num_batches_tracked", "inv_freq")):
            continue
        noise = torch.rand(value.shape, generator=generator)
        if name.endswith("running_var"):
            value.copy_(0.5 + noise)
        elif value.dim() == 1 and name.endswith("weight"):  # normalizations
            value.copy_(0.7 + 0.6 * noise)
        elif value.dim() == 1 or "bias" in name:
            value.copy_(0.4 * noise - 0.2)
        else:
            fan_in = value[0].numel()
            value.copy_((2 * noise - 1) * (3 / fan_in) ** 0.5)


def sentencepiece_model(folder: Path, model_type: str, size: int) -> Path:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 4), model_writer=model, model_type=model_type, vocab_size=size,
        normalization_rule_name="identity", minloglevel=2, hard_vocab_limit=False,
        unk_id=0, bos_id=-1, eos_id=-1, pad_id=-1,
    )  # fmt: skip
    path = folder / "tokenizer.model"
    path.write_bytes(model.getvalue())
    return path


def save(folder: Path, name: str, model: torch.nn.Module, processor: transformers.ProcessorMixin) -> None:
    """Writes a checkpoint as users of transformers do, and what it computes."""
    model.save_pretrained(folder / name)
    processor.save_pretrained(folder / name)
    save_expected(folder, name, model, processor)


def save_expected(
    folder: Path,
    name: str,
    model: torch.nn.Module,
    processor: transformers.ProcessorMixin,
    file: str = "expected.npz",
) -> None:
    waveform = speech()
    inputs = processor(waveform, sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        is_transducer = isinstance(model.eval(), transformers.ParakeetForRNNT)
        extra = transducer_outputs(model, inputs) if is_transducer else {}
        prompt = {"decoder_input_ids": extra["prompt"]} if is_transducer else {}
        outputs = model(**inputs, **prompt, output_hidden_states=True)
        if isinstance(model, transformers.ParakeetForTDT):
            extra["loss"] = model(**inputs, **prompt, labels=extra["prompt"][:, 1:]).loss.numpy()
    ids = processor.tokenizer(SENTENCE, add_special_tokens=False)["input_ids"]
    np.savez(
        folder / name / file,
        speech=waveform,
        **features(inputs),
        blocks=torch.stack(block_outputs(model, outputs)).detach().numpy()[:, 0],
        logits=outputs.logits[0].numpy(),
        sentence=SENTENCE,
        ids=ids,
        text=processor.decode(ids, group_tokens=False),
        **extra,
    )
    print(name, {key: value.shape for key, value in np.load(folder / name / file).items()})
    if is_transducer:
        print(extra["transcript"].tolist(), extra["steps"].tolist())


def block_outputs(model: torch.nn.Module, outputs: transformers.utils.ModelOutput) -> list[torch.Tensor]:
    """Returns the input of the first block and the outputs of all, of the last one after the final normalization."""
    states = list(outputs.hidden_states)
    if isinstance(model, transformers.Wav2Vec2ConformerForCTC):
        states[-1] = model.wav2vec2_conformer.encoder.layer_norm(states[-1])
    return states


def features(inputs: transformers.BatchFeature) -> dict[str, object]:
    """Returns the features of an utterance and the number of valid ones; of a waveform they are its samples."""
    if "input_values" in inputs:
        (samples,) = inputs["input_values"].numpy()
        return {"features": samples[:, np.newaxis], "valid": len(samples)}
    return {"features": inputs["input_features"][0].numpy(), "valid": inputs["attention_mask"][0].sum().item()}


def transducer_outputs(model: transformers.ParakeetForRNNT, inputs: transformers.BatchFeature) -> dict[str, object]:
    """Returns the greedy transcript, the steps to it, and the rows that the joint network adds.

    The bias of the prediction's projection counts to the encodings: the import folds it into theirs.
    """
    blank, projector = model.config.blank_token_id, model.decoder.decoder_projector
    found = model.generate(**inputs, decoder_start_token_id=blank)
    (steps,) = found.sequences
    transcript = steps[steps != blank]
    prompt = torch.cat([torch.tensor([blank]), transcript])[None]
    return {
        "prompt": prompt,
        "transcript": transcript.numpy(),
        "steps": torch.stack([steps, found.durations[0]])[:, 1:].numpy(),
        "encodings": (model.get_audio_features(**inputs).pooler_output + projector.bias)[0].numpy(),
        "predictions": (model.decoder(prompt) - projector.bias)[0].numpy(),
    }


def parakeet_processor(model: Path, decoder: str = "ctc") -> transformers.ParakeetProcessor:
    """Converts a SentencePiece model as the published checkpoints were converted; the blank is its last token.

    Args:
      model: the file.
      decoder: "ctc", whose blank is the padding, "rnnt", whose padding is the blank, or "tdt", which has both.
    """
    converted = ParakeetConverter(str(model)).converted()
    tokenizer = transformers.ParakeetTokenizer(tokenizer_object=converted, clean_up_tokenization_spaces=False)
    names = {"ctc": ["unk", "pad"], "rnnt": ["unk", "blank"], "tdt": ["unk", "pad", "blank"]}[decoder]
    special = [transformers.AddedToken(f"<{name}>", normalized=False, special=True) for name in names]
    tokenizer.add_tokens(special)
    tokenizer.add_special_tokens({"unk_token": special[0], "pad_token": special[1]})
    return transformers.ParakeetProcessor(transformers.ParakeetFeatureExtractor(), tokenizer, decoder_type=decoder)


def parakeet_encoder(**settings: bool) -> dict[str, object]:
    return transformers.ParakeetEncoderConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_kernel_size=5,
        subsampling_conv_channels=4, num_mel_bins=80, **settings,
    ).to_dict()  # fmt: skip


def parakeet_model(processor: transformers.ParakeetProcessor, **settings: bool) -> transformers.ParakeetForCTC:
    tokenizer = processor.tokenizer
    config = transformers.ParakeetCTCConfig(
        vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, encoder_config=parakeet_encoder(**settings)
    )
    return transformers.ParakeetForCTC(config)


def parakeet_transducer(processor: transformers.ParakeetProcessor, tdt: bool) -> transformers.ParakeetForRNNT:
    settings = {
        "vocab_size": len(processor.tokenizer), "pad_token_id": processor.tokenizer.pad_token_id,
        "blank_token_id": processor.blank_token_id, "decoder_hidden_size": 12, "max_symbols_per_step": 3,
        "encoder_config": parakeet_encoder(),
    }  # fmt: skip
    if tdt:
        return transformers.ParakeetForTDT(transformers.ParakeetTDTConfig(**settings, durations=DURATIONS))
    return transformers.ParakeetForRNNT(transformers.ParakeetRNNTConfig(**settings))


def center_logits(model: transformers.ParakeetForRNNT, processor: transformers.ParakeetProcessor) -> None:
    """Changes the joint network so that no symbol always wins, and the blank often: the transcript has many labels."""
    head = model.joint.head
    with torch.no_grad():
        head.weight *= 4
        labels = torch.arange(processor.tokenizer.vocab_size)[None]
        logits = model.eval()(**processor(speech(), sampling_rate=16000), decoder_input_ids=labels).logits
        head.bias -= logits.mean((0, 1, 2))
        head.bias[model.config.blank_token_id] += 2
        if isinstance(model, transformers.ParakeetForTDT):
            head.bias[model.config.vocab_size] -= 3  # of the duration 0: `generate` sets no limit in a frame


def parakeet(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as parts:
        path = sentencepiece_model(Path(parts), "bpe", 40)
        processor, *of_transducers = (parakeet_processor(path, decoder) for decoder in ("ctc", "rnnt", "tdt"))
    model = parakeet_model(processor, convolution_bias=False)
    randomize(model)
    save(folder, "parakeet_ctc", model, processor)
    for one in of_transducers:
        model = parakeet_transducer(one, tdt=one.decoder_type == "tdt")
        randomize(model)
        center_logits(model, one)
        save(folder, f"parakeet_{one.decoder_type}", model, one)


class Striding(torch.nn.Module):
    """The subsampling by 4 of NeMo's Conformer, with the interface of `ParakeetEncoderSubsamplingConv2D`."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        convolutions = [torch.nn.Conv2d(inputs, channels, 3, 2, 1) for inputs in (1, channels)]
        self.layers = torch.nn.Sequential(convolutions[0], torch.nn.ReLU(), convolutions[1], torch.nn.ReLU())
        self.linear = torch.nn.Linear(channels * 20, dim)

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        valid = (features * mask[..., None])[:, : int(mask.sum())]  # of one utterance
        return self.linear(self.layers(valid[:, None]).transpose(1, 2).flatten(2))


# Names in transformers, and in an archive of NeMo.
NEMO_NAMES = {
    "encoder.subsampling.layers": "encoder.pre_encode.conv",
    "encoder.subsampling.linear": "encoder.pre_encode.out",
    "q_proj": "linear_q",
    "k_proj": "linear_k",
    "v_proj": "linear_v",
    "o_proj": "linear_out",
    "bias_u": "pos_bias_u",
    "bias_v": "pos_bias_v",
    "conv.norm": "conv.batch_norm",
    "decoder.embedding": "decoder.prediction.embed",
    "decoder.lstm": "decoder.prediction.dec_rnn.lstm",
    "decoder.decoder_projector": "joint.pred",
    "encoder_projector": "joint.enc",
    "joint.head": "joint.joint_net.2",
}


def save_nemo(
    folder: Path,
    name: str,
    tokenizer: Path,
    ctc: transformers.ParakeetForCTC | None,
    transducer: transformers.ParakeetForRNNT | None,
) -> None:
    """Writes a model as an archive of NeMo, without NeMo; a hybrid has a transducer and a CTC head."""
    weights = {"preprocessor.featurizer.window": torch.hann_window(400)}
    models = [model for model in (ctc, transducer) if model is not None]
    hybrid = len(models) == 2
    class_name = "HybridRNNTCTCBPEModel" if hybrid else "RNNTBPEModel" if ctc is None else "CTCModelBPE"
    for key, value in {key: value for model in models for key, value in model.state_dict().items()}.items():
        key = key.replace("relative_k_proj", "linear_pos")
        for old, new in NEMO_NAMES.items():
            key = key.replace(old, new)
        weights[key.replace("ctc_head", f"{'ctc_' if hybrid else ''}decoder.decoder_layers.0")] = value
    config = models[0].config.encoder_config
    decoder = {"num_classes": models[0].config.vocab_size - 1, "feat_in": None, "vocabulary": []}
    striding = isinstance(models[0].encoder.subsampling, Striding)
    tree = {
        "target": f"nemo.collections.asr.models.EncDec{class_name}",
        "sample_rate": 16000,
        "preprocessor": {
            "_target_": "nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor", "sample_rate": 16000,
            "normalize": "per_feature", "window_size": 0.025, "window_stride": 0.01, "window": "hann", "features": 80,
            "n_fft": 512, "frame_splicing": 1, "dither": 1e-5, "pad_to": 0,
        },
        "encoder": {
            "_target_": "nemo.collections.asr.modules.ConformerEncoder", "feat_in": 80, "feat_out": -1,
            "n_layers": config.num_hidden_layers, "d_model": config.hidden_size, "n_heads": config.num_attention_heads,
            "subsampling": "striding" if striding else "dw_striding", "subsampling_factor": 4 if striding else 8,
            "subsampling_conv_channels": 4, "causal_downsampling": False, "ff_expansion_factor": 2,
            "self_attention_model": "rel_pos", "att_context_size": [-1, -1], "xscaling": True, "untie_biases": True,
            "conv_kernel_size": config.conv_kernel_size, "conv_norm_type": "batch_norm", "dropout": 0.1,
        },
        "tokenizer": {"dir": None, "type": "bpe", "model_path": f"nemo:0123_{tokenizer.name}"},
        "decoder": decoder,
    }  # fmt: skip
    if transducer is not None:
        tree |= {"aux_ctc": {"ctc_loss_weight": 0.3, "decoder": decoder}} | transducer_tree(transducer)
    with tempfile.TemporaryDirectory() as parts, tarfile.open(folder / name / "model.nemo", "w") as archive:
        (Path(parts) / "model_config.yaml").write_text(json.dumps(tree))  # JSON is YAML
        torch.save(weights, Path(parts) / "model_weights.ckpt")
        for file in sorted(Path(parts).iterdir()):
            archive.add(file, f"./{file.name}")
        archive.add(tokenizer, f"./0123_{tokenizer.name}")


def transducer_tree(model: transformers.ParakeetForRNNT) -> dict[str, object]:
    """Returns the sections of an archive's settings that describe a transducer."""
    vocabulary, width = model.config.blank_token_id, model.config.decoder_hidden_size
    durations = list(getattr(model.config, "durations", ()))
    of_search = {"model_type": "tdt", "durations": durations} if durations else {}
    return {
        "decoder": {
            "_target_": "nemo.collections.asr.modules.RNNTDecoder", "normalization_mode": None, "blank_as_pad": True,
            "random_state_sampling": False, "vocab_size": vocabulary,
            "prednet": {
                "pred_hidden": width, "pred_rnn_layers": model.config.num_decoder_layers, "t_max": None, "dropout": 0.2,
            },
        },
        "joint": {
            "_target_": "nemo.collections.asr.modules.RNNTJoint", "log_softmax": None, "preserve_memory": False,
            "fuse_loss_wer": True, "fused_batch_size": 4, "num_classes": vocabulary, "vocabulary": [],
            "num_extra_outputs": len(durations),
            "jointnet": {
                "joint_hidden": width, "activation": "relu", "dropout": 0.2, "encoder_hidden": 16, "pred_hidden": width,
            },
        },
        "decoding": {
            "strategy": "greedy_batch", "greedy": {"max_symbols": 3}, "beam": {"beam_size": 2}, **of_search,
        },
    }  # fmt: skip


def nemo(folder: Path) -> None:
    """Writes a Conformer with a CTC head, a FastConformer with a transducer too, and a Conformer with a TDT."""
    for name in ("nemo_hybrid", "nemo_conformer", "nemo_tdt"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as parts:
            tokenizer = sentencepiece_model(Path(parts), "bpe", 40)
            processor, of_transducer = parakeet_processor(tokenizer), parakeet_processor(tokenizer, "rnnt")
            model, transducer = parakeet_model(processor), None
            if name != "nemo_hybrid":
                model.encoder.subsampling = Striding(4, 16)
                # Masks by lengths after subsampling by 8; one utterance needs none.
                model.encoder._get_output_attention_mask = lambda mask, target_length: torch.ones(
                    [1, target_length], dtype=torch.bool
                )
            if name != "nemo_conformer":
                transducer = parakeet_transducer(of_transducer, tdt=name == "nemo_tdt")
                randomize(transducer)
                transducer.encoder = model.encoder
            randomize(model)
            if transducer is not None:
                center_logits(transducer, of_transducer)
            save_nemo(folder, name, tokenizer, None if name == "nemo_tdt" else model, transducer)
        if name != "nemo_tdt":
            save_expected(folder, name, model, processor)
        if transducer is not None:
            file = "expected.npz" if name == "nemo_tdt" else "expected_transducer.npz"
            save_expected(folder, name, transducer, of_transducer, file)


def lasr(folder: Path) -> None:
    """Its blank is the padding, its first token; tokens that end sentences follow."""
    with tempfile.TemporaryDirectory() as parts:
        path = sentencepiece_model(Path(parts), "unigram", 36)
        trained = sentencepiece.SentencePieceProcessor(model_file=str(path))
        pieces = [(trained.id_to_piece(i), trained.get_score(i)) for i in range(1, trained.vocab_size())]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *pieces]
    tokenizer = transformers.LasrTokenizer(vocab=vocabulary, extra_ids=0)
    encoder = transformers.LasrEncoderConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, conv_kernel_size=6,
        subsampling_conv_channels=8, num_mel_bins=128,
    )  # fmt: skip
    config = transformers.LasrCTCConfig(vocab_size=len(vocabulary), pad_token_id=0, encoder_config=encoder.to_dict())
    processor = transformers.LasrProcessor(transformers.LasrFeatureExtractor(), tokenizer)
    model = transformers.LasrForCTC(config)
    randomize(model)
    save(folder, "lasr_ctc", model, processor)


def wav2vec2(folder: Path) -> None:
    """Writes a model of each kind of positions, the first one with the other settings that the published have."""
    special = ["<pad>", "<s>", "</s>", "<unk>", "|"]
    with tempfile.TemporaryDirectory() as parts:
        path = Path(parts) / "vocab.json"
        path.write_text(json.dumps({text: index for index, text in enumerate([*special, *string.ascii_lowercase])}))
        tokenizer = transformers.Wav2Vec2CTCTokenizer(path)
        for positions in ("relative", "rotary", None):
            is_published = positions == "relative"
            config = transformers.Wav2Vec2ConformerConfig(
                hidden_size=16, num_hidden_layers=2 if positions else 1, num_attention_heads=2, intermediate_size=32,
                conv_depthwise_kernel_size=5, conv_dim=(8, 8, 8, 8, 8, 8, 6), num_conv_pos_embeddings=4,
                num_conv_pos_embedding_groups=4, vocab_size=len(tokenizer), position_embeddings_type=positions,
                feat_extract_norm="layer" if is_published else "group", conv_bias=is_published,
                hidden_act="swish" if is_published else "gelu",
            )  # fmt: skip
            extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=positions is not None)
            model = transformers.Wav2Vec2ConformerForCTC(config)
            randomize(model)
            name = f"wav2vec2_{positions or 'none'}"
            save(folder, name, model, transformers.Wav2Vec2Processor(extractor, tokenizer))


def write(folder: Path) -> None:
    """Writes all checkpoints into a folder."""
    wav2vec2(folder)
    parakeet(folder)
    lasr(folder)
    nemo(folder)


def check(committed: Path) -> None:
    """Computes all checkpoints with the installed versions, and compares their logits with the committed ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        for file in sorted(committed.glob("*/expected*.npz")):
            actual, expected = (np.load(one)["logits"] for one in (folder / file.relative_to(committed), file))
            difference = np.sqrt(np.mean((actual - expected) ** 2) / np.mean(expected**2))
            print(f"{file.relative_to(committed)}: relative RMS {difference:.1e}")
            # The tests' bound on the import.
            if not difference < 1e-4:
                sys.exit(f"{file.relative_to(committed)}: the installed versions compute something else")


if __name__ == "__main__":
    check(FOLDER) if sys.argv[1:] == ["--check"] else write(FOLDER)
