import pytest
import yaml

from converters.experiments.grid import Experiment
from converters.experiments.tables import render_grid, update_page
from tests.support.results_samples import changed, results, row, set_of
from tfconformer.errors import InputError
from tfconformer.reports.baseline import compare_with
from tfconformer.reports.results import write_results

GRID = {
    "title": "A grid",
    "config": "shared.yaml",
    "test_sets": ["test-*"],
    "baseline": "float32",
    "variants": {"float32": {}, "int8": {}, "int2": {}, "int1": {}},
}


def lines_of(table: str) -> dict[str, list[str]]:
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return {cells[0]: cells for cells in rows}


def test_scores_differences_and_sizes_stand_in_the_table():
    measured = compare_with({"int2": "float32"}, results())
    lines = lines_of(render_grid(Experiment.model_validate(GRID), measured))
    int2 = next(one for one in measured.rows if one.model == "int2" and set_of(one) == "test-clean")
    assert lines["model"][2].startswith("test-clean")
    assert lines["int2"][2].startswith(f"{100 * int2.accuracy.wer:.1f} [")
    assert f"+{100 * int2.accuracy.wer_difference:.1f} (" in lines["int2"][2]
    assert lines["int2"][-2] == f"{100 * 812_345 / 6_612_345:.1f} %"
    assert "<br>" not in lines["float32"][2]


def test_what_is_missing_is_said():
    table = render_grid(Experiment.model_validate(GRID), results())
    assert "Not measured yet: int1." in table


def test_seeds_of_a_variant_count_as_measured():
    second = row("int8", "test-clean").model_copy(update={"model": "int1 seed 2"})
    seeds = results().model_copy(update={"rows": (second, *results().rows)})
    assert "Not measured" not in render_grid(Experiment.model_validate(GRID), seeds)


def test_a_keras_score_has_no_file():
    keras = changed(row("int8", "test-clean"), evaluated_with="keras", runtime=None)
    table = render_grid(Experiment.model_validate(GRID), results().model_copy(update={"rows": (keras,)}))
    assert "scored in Keras" in lines_of(table)["int8"][1]
    assert lines_of(table)["int8"][-3] == "–"


def test_a_page_is_updated_grid_by_grid(tmp_path):
    grids = [tmp_path / "measured.yaml", tmp_path / "other.yaml"]
    for grid in grids:
        grid.write_text(yaml.safe_dump(GRID))
    write_results(tmp_path / "measured.json", results())
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- {grid.stem}:begin -->\n<!-- {grid.stem}:end -->\n" for grid in grids))
    update_page(page, grids, tmp_path)
    measured, other = page.read_text().split("<!-- measured:end -->")
    assert "| int2 |" in measured and "Not measured yet." in other
    assert "![A grid](plots/measured.svg)" in measured and "plots" not in other
    plot = (tmp_path / "plots" / "measured.svg").read_text()
    assert all(f">{text}" in plot for text in ("float32", "int8", "int2", "test-clean", "test-other"))
    page.write_text("no place")
    with pytest.raises(InputError, match="measured:begin"):
        update_page(page, grids, tmp_path)


def test_models_are_compared_with_the_named_one_whatever_ran_them():
    compared = {(one.model, set_of(one)): one for one in compare_with({"float32": "int8"}, results()).rows}
    assert compared["int8", "test-clean"].accuracy.wer_difference is None
    assert compared["float32", "test-other"].accuracy.wer_difference == pytest.approx(-1 / 12)
    assert compared["float32", "test-other"].size.float_ratio < 1
