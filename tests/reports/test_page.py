import html.parser
import re

import pytest

from tests.support.results_samples import changed, results, row, set_of
from tfconformer.errors import InputError
from tfconformer.reports.baseline import compare_with_float
from tfconformer.reports.page import choose_examples, render_report
from tfconformer.reports.results import Transcript
from tfconformer.reports.rows import ResultRow


class Page(html.parser.HTMLParser):
    """Collects a page's tags, attributes, table cells and text; complains about tags that do not close in order."""

    VOID = ("meta", "br", "path", "use", "rect")

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += f" {data.strip()}"


@pytest.fixture(scope="module")
def compared():
    return compare_with_float(results())


@pytest.fixture(scope="module")
def source(compared, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    render_report(compared, path)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source):
    return Page(source)


def test_the_page_needs_nothing_from_outside(page, source):
    assert not {"script", "link", "iframe", "img", "object", "embed", "base"} & page.tags
    assert "://" not in source
    assert "@import" not in source
    references = [value for _, name, value in page.attributes if name in ("href", "src", "srcset", "action", "data")]
    assert references, "the plots refer to their own markers"
    assert all(value.startswith("#") for value in references)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", source))


def test_identifiers_are_unique_and_references_resolve(page, source):
    identifiers = [value for _, name, value in page.attributes if name == "id"]
    assert len(identifiers) == len(set(identifiers))
    targets = {value[1:] for _, name, value in page.attributes if name == "href"}
    assert targets | set(re.findall(r"url\(#([^)]*)\)", source)) <= set(identifiers)


def test_every_number_of_the_table_is_the_files(page, compared):
    lines = [cells for cells in page.rows if cells and cells[0].split()[:1] in (["float32"], ["int8"], ["int2"])]
    assert len(lines) == 3
    for cells, model in zip(lines, ("float32", "int8", "int2"), strict=True):
        clean, other = (next(r for r in compared.rows if (r.model, set_of(r)) == (model, s)) for s in page_sets())
        name, clean_cell, other_cell, file_cell, bits_cell, rtf_cell, memory_cell = (cell.split() for cell in cells)
        assert {"avx2,", "1", "thread"} <= set(name)
        for cell, values in ((clean_cell, clean), (other_cell, other)):
            assert float(cell[0]) == round(100 * values.accuracy.wer, 1)
            low, high = cell[2].split("\N{EN DASH}")
            assert (float(low), float(high)) == (
                round(100 * values.accuracy.wer_low, 1),
                round(100 * values.accuracy.wer_high, 1),
            )
            assert cell[3:11] == ["S", "3", "·", "D", "2", "·", "I", "1"]
            if model != "float32":
                signed = [float(text.strip("[],").replace("\N{MINUS SIGN}", "-")) for text in cell[11:]]
                assert signed == [
                    round(100 * values.accuracy.wer_difference, 1),
                    round(100 * values.accuracy.wer_difference_low, 1),
                    round(100 * values.accuracy.wer_difference_high, 1),
                ]
        assert float(file_cell[0]) == round(clean.size.file_bytes / 1e6, 2)
        assert int(file_cell[2].replace(",", "")) == clean.size.file_bytes
        if model != "float32":
            assert float(file_cell[4].rstrip("\N{MULTIPLICATION SIGN}")) == round(clean.size.float_ratio, 2)
        assert float(bits_cell[0]) == clean.size.bits_per_weight
        assert (float(rtf_cell[0]), float(rtf_cell[2])) == (
            round(clean.speed.rtf_p50, 3),
            round(clean.speed.rtf_p90, 3),
        )
        assert float(memory_cell[0]) == round(clean.execution.peak_rss_mb)


def page_sets() -> tuple[str, str]:
    return "test-clean", "test-other"


def test_layers_stages_and_origin_are_there(page, compared):
    cells = {cells[0].strip(): cells[1:] for cells in page.rows}
    assert [float(cell) for cell in cells["block_00_ff1_contract"]] == [39.9, 6.3]
    for expected in ("fine-tune int8", "1 min 15 s", "12.2 s", compared.command, compared.commit, compared.date):
        assert expected in page.text
    assert "Example CPU, 2 cores; 8.0 GB memory" in page.text


def test_plots_carry_the_names_and_theme_colors(page, source):
    assert source.count("<svg") == 3
    assert "least in block_00_ff1_contract, 6.3 dB" in page.text
    # Placeholder colors must all have become variables of the page.
    assert not re.search(r"#010[12]", source)
    assert {f"var(--series-{index})" for index in (1, 2, 3)} <= set(re.findall(r"var\(--series-\d\)", source))


def test_errors_are_marked_in_the_examples(source):
    flat = " ".join(source.split())
    assert '<span class="wrong" title="said: CAT">BAT</span>' in flat
    assert "<del>THE</del>" in flat
    assert "<ins>PLEASE NOW SIR</ins>" in flat


def test_the_page_is_reproducible(compared, source, tmp_path):
    render_report(compared, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == source


def test_a_bare_results_file_gives_a_page_without_empty_sections(tmp_path):
    bare_row = ResultRow(model="a <b> & $x$", accuracy=row("int8", "t<est>").accuracy)
    bare = results().model_copy(update={"rows": (bare_row,), "layers": (), "stages": (), "transcripts": ()})
    render_report(bare, tmp_path / "bare.html")
    source = (tmp_path / "bare.html").read_text(encoding="utf-8")
    page = Page(source)
    assert "a <b> & $x$" in page.text
    assert "<b>" not in source
    assert "svg" not in page.tags
    for absent in ("At a glance", "What the models recognized", "Where the time went", "What quantization costs"):
        assert absent not in page.text


def test_markup_in_the_data_stays_text(tmp_path):
    hostile = changed(row("float32", "test-clean"), model="<script>x</script>", test_set="t'\"<i>&")
    render_report(
        results().model_copy(update={"rows": (hostile,), "transcripts": (), "layers": ()}), tmp_path / "r.html"
    )
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert not {"script", "i"} & page.tags


def test_nothing_to_report(tmp_path):
    with pytest.raises(InputError, match="nothing to report"):
        render_report(results().model_copy(update={"rows": ()}), tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_examples_are_the_typical_and_the_most_divisive():
    examples = choose_examples(results(("test-clean",)).transcripts)
    assert [(one.why, one.reference) for one in examples] == [
        # Errors summed over the three models: u1 1, u2 2, u3 4; spreads 1, 2, 3.
        ("typical", "THE CAT SAT ON THE MAT"),
        ("models differ most", "OPEN THE DOOR"),
    ]
    assert [(one.model, one.errors) for one in examples[0].hypotheses] == [("float32", 0), ("int8", 0), ("int2", 2)]


def test_examples_show_a_model_once_and_no_long_utterance():
    def transcript(runtime: str, key: str, text: str) -> Transcript:
        return Transcript(model="m", test_set="t", runtime=runtime, id=key, reference=text, hypothesis=text)

    transcripts = [transcript("one", "a", "A B"), transcript("one", "b", "WORD " * 25), transcript("two", "a", "A B")]
    (example,) = choose_examples(transcripts)
    assert (example.reference, len(example.hypotheses)) == ("A B", 1)
