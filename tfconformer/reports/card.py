"""Model cards: a page in Markdown about one model, with the metadata block of the Hugging Face hub.

Every number of a card is measured: sizes in the model's file, word errors and speed in results files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import yaml

from tfconformer.errors import InputError
from tfconformer.quantization.spec import FLOAT_BITS
from tfconformer.reports.layer_table import LayerRow
from tfconformer.reports.rows import Accuracy, Quantization, ResultRow, Size, Training
from tfconformer.reports.tables import (
    markdown_table,
    megabytes,
    number,
    render_markdown_table,
    scheme,
    width,
)


@dataclass(frozen=True)
class ModelCard:
    """The facts of a card.

    Attributes:
      name: name of the model, and of its rows in results files.
      summary: the model in a sentence.
      hub_task: task of the model in the hub's terms, such as "automatic-speech-recognition"; None for others.
      tags: what the hub finds it by.
      size: of its file; without `file_bytes` for a run that is not exported.
      training: how it was made.
      quantization: scheme of its weights.
      layers: its layers with weights.
      rows: its measurements; rows without word errors are left out.
      commands: how to run it.
      license: an identifier of the hub, such as "apache-2.0"; None leaves it open.
      language: code of the language that it understands, such as "en"; None leaves it open.
      data: what it was trained on, in Markdown; None says that the card does not know.
    """

    name: str
    summary: str
    hub_task: str | None
    tags: Sequence[str]
    size: Size
    training: Training
    quantization: Quantization
    layers: Sequence[LayerRow]
    rows: Sequence[ResultRow]
    commands: Sequence[str]
    license: str | None = None
    language: str | None = None
    data: str | None = None


def rows_of_model(rows: Iterable[ResultRow], name: str) -> list[ResultRow]:
    """Returns the rows of a model that have word errors.

    Raises:
      InputError: there is none.
    """
    scored = [row for row in rows if row.accuracy is not None]
    found = [row for row in scored if row.model == name]
    if not found:
        names = ", ".join(sorted({str(row.model) for row in scored})) or "no model"
        raise InputError(f"the results have no word errors of a model {name!r}; they have those of {names}: see --name")
    return found


def render_card(card: ModelCard) -> str:
    """Renders a card.

    Raises:
      InputError: the rows give the model twice on the same test set in the same runtime.
    """
    parts = [f"---\n{yaml.safe_dump(_metadata(card), sort_keys=False, allow_unicode=True)}---\n# {card.name}\n"]
    parts.append(f"{card.summary}\n")
    parts.append(markdown_table(["", ""], [":--", "--:"], _facts(card)))
    if card.rows:
        parts.append(
            "## Word errors\n\nPercent, with 95 % bootstrap intervals over utterances; measured in the exported file.\n"
        )
        parts.append(render_markdown_table(card.rows))
    parts.append("## Weights\n")
    parts.append(
        markdown_table(["stored as", "layers", "weights", "size"], [":--", "--:", "--:", "--:"], _formats(card.layers))
    )
    parts.append("## Run\n\n```\n" + "".join(f"{command}\n" for command in card.commands) + "```\n")
    parts.append(f"## Data\n\n{card.data or 'Not stated.'}\n")
    return "\n".join(parts)


def _metadata(card: ModelCard) -> dict[str, object]:
    """Returns the metadata block, in the hub's names."""
    known = {"license": card.license, "language": card.language, "library_name": "tfconformer"}
    block: dict[str, object] = {key: value for key, value in known.items() if value is not None}
    if card.hub_task is not None:
        block["pipeline_tag"] = card.hub_task
    block["tags"] = list(card.tags)
    scores: list[Accuracy] = [row.accuracy for row in card.rows if row.accuracy is not None]
    if scores:
        results = [
            {
                "task": {"type": card.hub_task},
                "dataset": {"name": score.test_set, "type": score.test_set},
                "metrics": [{"type": "wer", "name": "WER, %", "value": round(100 * score.wer, 2)}],
            }
            for score in scores
        ]
        block["model-index"] = [{"name": card.name, "results": results}]
    return block


def _facts(card: ModelCard) -> list[list[str]]:
    facts = [
        ("file", megabytes(card.size.file_bytes) if card.size.file_bytes is not None else None),
        ("weights", f"{sum(layer.parameters for layer in card.layers):,}"),
        ("bits per weight of a matrix", number(card.size.bits_per_weight, 2) if card.size.bits_per_weight else None),
        ("format", scheme(card.quantization) or None),
        ("method", card.training.method),
        ("steps of training", None if card.training.steps is None else f"{card.training.steps:,}"),
        ("seed", None if card.training.seed is None else str(card.training.seed)),
    ]
    return [[name, value] for name, value in facts if value is not None]


def _formats(layers: Sequence[LayerRow]) -> list[list[str]]:
    """Sums up the layers by their format, narrowest first."""
    groups: dict[tuple[int, str], list[LayerRow]] = {}
    for layer in layers:
        groups.setdefault((layer.bits, layer.granularity), []).append(layer)
    lines = []
    for (bits, granularity), group in sorted(groups.items()):
        name = "float32" if bits == FLOAT_BITS else f"{width(bits)}, per {granularity}"
        weights, stored = (sum(getattr(layer, part) for layer in group) for part in ("parameters", "bytes"))
        lines.append([name.replace("per block", "in blocks of"), str(len(group)), f"{weights:,}", megabytes(stored)])
    return lines
