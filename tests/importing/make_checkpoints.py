"""Writes the checkpoints of this folder, random models of `transformers`, with what its own code computes of them.

    python tests/importing/make_checkpoints.py          # in an environment with transformers 5.24, torch, sentencepiece

Each folder of `checkpoints` holds what `save_pretrained` writes, and `expected.npz`: a waveform, its features, the
outputs of all blocks and the logits, and the ids and text of a sentence.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import sentencepiece
import torch
import transformers

FOLDER = Path(__file__).parent / "checkpoints"
SENTENCE = "the quick brown fox"
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
        if name.endswith("num_batches_tracked"):
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


def save(name: str, model: torch.nn.Module, processor: transformers.ProcessorMixin) -> None:
    folder = FOLDER / name
    randomize(model)
    model.eval()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    waveform = speech()
    inputs = processor(waveform, sampling_rate=16000)
    with torch.no_grad():
        outputs = model(**inputs, output_hidden_states=True)
    ids = processor.tokenizer(SENTENCE, add_special_tokens=False)["input_ids"]
    np.savez(
        folder / "expected.npz",
        speech=waveform,
        features=inputs["input_features"][0].numpy(),
        valid=inputs["attention_mask"][0].sum().item(),
        blocks=torch.stack([*outputs.hidden_states]).numpy()[:, 0],
        logits=outputs.logits[0].numpy(),
        sentence=SENTENCE,
        ids=ids,
        text=processor.decode(ids, group_tokens=False),
    )
    print(name, {key: value.shape for key, value in np.load(folder / "expected.npz").items()})


def parakeet() -> None:
    from transformers.convert_slow_tokenizer import ParakeetConverter

    with tempfile.TemporaryDirectory() as folder:
        converted = ParakeetConverter(str(sentencepiece_model(Path(folder), "bpe", 40))).converted()
    tokenizer = transformers.ParakeetTokenizer(tokenizer_object=converted, clean_up_tokenization_spaces=False)
    special = {name: transformers.AddedToken(f"<{name}>", normalized=False, special=True) for name in ("unk", "pad")}
    tokenizer.add_tokens(list(special.values()))
    tokenizer.add_special_tokens({f"{name}_token": token for name, token in special.items()})
    encoder = transformers.ParakeetEncoderConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_kernel_size=5,
        subsampling_conv_channels=4, num_mel_bins=80, convolution_bias=False, attention_bias=True,
    )  # fmt: skip
    config = transformers.ParakeetCTCConfig(
        vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, encoder_config=encoder.to_dict()
    )
    processor = transformers.ParakeetProcessor(transformers.ParakeetFeatureExtractor(), tokenizer)
    save("parakeet_ctc", transformers.ParakeetForCTC(config), processor)


def lasr() -> None:
    """Its blank is the padding, its first token; tokens that end sentences follow."""
    with tempfile.TemporaryDirectory() as folder:
        path = sentencepiece_model(Path(folder), "unigram", 36)
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
    save("lasr_ctc", transformers.LasrForCTC(config), processor)


def main() -> None:
    parakeet()
    lasr()


if __name__ == "__main__":
    main()
