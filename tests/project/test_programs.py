"""The Python programs of a page run as they are written, one after the other in one process and an empty folder.

Those of README and of the first page are run by `test_wheel.py`, outside of the checkout.
"""

from tests.support.page_programs import page_programs


def test_the_programs_about_keras_models_run(pytestconfig, tmp_path, monkeypatch, capsys):
    fit, quantize, export = page_programs(pytestconfig.rootpath / "docs/guides/keras.md")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for program in (fit, quantize, export):
        exec(compile(program, "keras.md", "exec"), names)
    assert list(tmp_path.glob("*.tflite")) and capsys.readouterr().out
