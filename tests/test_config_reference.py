"""The generated reference of the configuration: complete, and that of the models."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tfconformer.commands.configuration import config_reference
from tfconformer.config import Config
from tfconformer.config_reference import config_page, config_schema

REFERENCE = Path(__file__).parents[1] / "docs/reference"


@pytest.mark.parametrize("name", ["configuration.md", "configuration.schema.json"])
def test_the_reference_is_up_to_date(name, tmp_path):
    assert CliRunner().invoke(config_reference, [str(tmp_path)]).exit_code == 0
    assert (tmp_path / name).read_text() == (REFERENCE / name).read_text(), "run `tfconformer dev config-reference`"


def test_every_key_has_a_description_and_a_row():
    schema = Config.model_json_schema()
    page = config_page()
    for section in (schema, *schema["$defs"].values()):
        assert section["description"]
        for key, value in section["properties"].items():
            assert value.get("description"), f"{section['title']}.{key} has no description"
            assert f"| `{key}` |" in page


def test_the_schema_allows_a_file_that_changes_another():
    schema = config_schema()
    assert {"extends", "format", "model"} <= schema["properties"].keys()
    assert not any("required" in section for section in (schema, *schema["$defs"].values()))
    assert schema["$defs"]["DataConfig"]["properties"]["train"]["items"] == {"type": "string", "format": "glob"}
    json.dumps(schema)
