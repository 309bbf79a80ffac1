"""The section `model` of a configuration."""

from __future__ import annotations

from pydantic import Field, PositiveInt, model_validator

from tfconformer.section import Section


class TransducerConfig(Section):
    """The parts of a transducer behind the encoder (2005.08100: one LSTM)."""

    embedding: int = Field(gt=0, description="width of the embedded labels")
    lstm_units: int = Field(gt=0)
    joint: int = Field(gt=0, description="width of the joint network")


class ModelConfig(Section):
    """Arguments of `models.conformer_ctc.conformer_ctc` and, with `transducer`, of `conformer_transducer`."""

    blocks: int = Field(gt=0)
    dim: int = Field(gt=0)
    heads: int = Field(gt=0)
    ff_expansion: int = Field(4, gt=0)
    conv_kernel: int = Field(31, gt=0)
    subsampling_channels: int = Field(gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)
    causal: bool = Field(False, description="convolutions see no future frame")
    left_context: int | None = Field(None, ge=0, description="attention looks back at most this many 40 ms frames")
    right_context: int | None = Field(None, ge=0, description="attention looks ahead at most this many 40 ms frames")
    attention_chunk: int | None = Field(
        None, gt=0, description="attention looks ahead to the end of its chunk of this many 40 ms frames"
    )
    training_chunks: tuple[PositiveInt, ...] = Field(
        (),
        description="attention chunks, one drawn per training batch in place of attention_chunk, so that the weights "
        "serve all of them; one longer than the utterances is unlimited look-ahead",
    )
    intermediate_ctc: int | None = Field(None, gt=0, description="block after which an auxiliary CTC head reads")
    transducer: TransducerConfig | None = Field(None, description="a transducer behind the encoder; null means CTC")

    @model_validator(mode="after")
    def _consistent(self) -> ModelConfig:
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is not a multiple of heads {self.heads}")
        if self.attention_chunk is not None and self.right_context is not None:
            raise ValueError("attention_chunk replaces right_context: give one of them")
        if self.training_chunks and self.right_context is not None:
            raise ValueError("training_chunks replace right_context: give one of them")
        if self.intermediate_ctc is not None and self.intermediate_ctc >= self.blocks:
            raise ValueError(
                f"intermediate_ctc {self.intermediate_ctc} must lie before the last of {self.blocks} blocks"
            )
        return self
