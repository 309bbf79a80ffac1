"""Every command with each class of bad path, folder, file and value: one sentence and an exit status, no traceback."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
import soundfile
import yaml

from tests.support.bad_files import CONFIG, FILES, NO_FILE, made
from tests.support.packed_layer import random_layer
from tests.support.results_samples import results
from tests.support.small_files import FRAME, write_recognizer, write_stream, write_test_set
from tests.support.tflite_builder import RecognizerBuilder
from tfconformer import cli
from tfconformer.commands.texts import UnicodeText
from tfconformer.reports.results import write_results

REPOSITORY = Path(__file__).parents[1]
RULES = {"quantization": [{"layers": ".*", "spec": {"bits": 4}}]}
GRID = {
    "title": "A grid",
    "config": "rules.yaml",
    "test_sets": ["test-*.tfrecord"],
    "seeds": [1],
    "baseline": "float32",
    "variants": {"float32": {"training": {"initial_weights": str(REPOSITORY / "models" / "tiny")}}},
}
# Command lines. {out} is a name for what the command writes, any other word in braces stands for a valid input. Of
# these and of the values of options, one after the other is replaced by bad ones; words in angle brackets, of which
# another line has bad ones, are valid too. Together they have every argument and every option with a value.
LINES = """
allocate {run} {out}.yaml --budget=1MB --keep-float=.*_head --rounding=nearest
bench {tflite} --shards={shards} --utterances=1 --rounds=1 --threads=1 --runtime=tflite-runtime --output={out}.json
bench <tflite> --shards=<shards> --utterances=1 --rounds=1 --baselines={tflite} --backend=host
card {tflite} --output={out}.md --results={result} --name=x --license=x --language=x --data=x
convert <wav> {out}.wav {stream} --lag=0.5 --threads=1 --seed=0 --runtime=tflite-runtime
data librispeech {corpus} --output={out} --max-seconds=40
data parrotron --output={out} --cache={out}/c --recordings={corpus} --voice=v --sources=1 --jobs=1 --seed=0
data parrotron --output=<out> --cache=<out>/c --sentences=1
data sample --output={out} --jobs=1
data shards {manifest} --output={out} --max-seconds=40
data shards <manifest> --output=<out> --runner=DirectRunner --runner-option=--x=y
data speech --output={out} --cache={out}/c --hours=1 --subset=dev-clean --jobs=1 --seed=0
demo --output={out}
demo-speech --output={out}
evaluate {tflite} --shards={shards} --threads=1 --max-seconds=40 --runtime=tflite-runtime --name=x --output={out}.json
evaluate <tflite> --shards=<shards> --utterances=1 --lag=1 --hotword-boost=1
evaluate {run} --shards=<shards> --beam-width=2 --language-model-weight=1
export {run} {out}.tflite --shards={shards} --utterances=1 --allow-different=0 --bits=4 --set=model.attention_chunk=1
export <run> <out>.tflite --shards=<shards> --post-training={rules} --rounding=nearest --target=custom
export <run> <out>.tflite --shards=<shards> --vocoder={run} --vocoder-post-training={rules} --runtime=tflite-runtime
import {checkpoint} {out} --train=x --dev=x --decoder=ctc
language-model {run} {out}.arpa --shards={shards} --order=2
quantize {rules} {run} {out} --replicas=1 --set=training.epochs=1
stream {stream} --wav={wav} --fast --threads=1 --runtime=tflite-runtime
stream <stream> --wav=<wav> --fast --beam-width=2 --hotwords={hotwords} --hotword-boost=1
stream <stream> --wav=<wav> --fast --rule1-min-trailing-silence=2 --rule2-min-trailing-silence=1
stream <stream> --wav=<wav> --fast --rule3-min-utterance-length=20
summary {tflite}
train {config} {out} --replicas=1 --set=training.epochs=1
train <config> <out> --set=training.initial_weights={run}
train <config> <out> --set=data.train=["{shards}"]
transcribe {tflite} {wav} --threads=1 --max-seconds=40 --runtime=tflite-runtime
transcribe <tflite> <wav> --beam-width=2 --hotwords={hotwords} --hotword-boost=1
dev config-reference {out}
dev experiments {grid} --runs={out} --results={out}/results --only=float32
dev probe --output={out}.json --runtime=tflite-runtime
dev recipes {grid} --results={results} --page={page}
dev report {result} --output={out}.html --markdown={page} --title=x
dev stream-report float={run} --shards={shards} --chunk=1 --compare=1 --long-seconds=61 --output={out}.json
dev stream-report float=<run> --shards=<shards> --runtime=tflite-runtime --output=<out>.json
""".strip().splitlines()
# Lines of which a file is read behind a model, or in another process, after seconds: only what is no file is tried.
SLOW_LINES = [
    "evaluate <tflite> --shards=<shards> --beam-width=2 --hotwords={hotwords}",
    "evaluate <run> --shards=<shards> --beam-width=2 --language-model={arpa}",
]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Valid words by the names that stand in braces."""
    folder = tmp_path_factory.mktemp("good")
    write_recognizer(folder / "int4.tflite")
    write_stream(folder / "stream.tflite")
    write_test_set(folder, "test")
    for name, tree in (("config", CONFIG), ("rules", CONFIG | RULES), ("grid", GRID)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(tree))
    (folder / "results").mkdir()
    write_results(folder / "results" / "result.json", results())
    (folder / "page.md").write_text("".join(f"<!-- {name}:{end} -->\n" for name in ("results", "grid") for end in ENDS))
    (folder / "hotwords").write_text("CALL HOME\n")
    return {
        "run": str(REPOSITORY / "models" / "tiny"),
        "config": str(folder / "config.yaml"),
        "rules": str(folder / "rules.yaml"),
        "grid": str(folder / "grid.yaml"),
        "tflite": str(folder / "int4.tflite"),
        "stream": str(folder / "stream.tflite"),
        "shards": f"{folder}/test-*.tfrecord",
        "wav": str(folder / "test-0.wav"),
        "manifest": str(folder / "test.jsonl"),
        "corpus": str(write_chapter(folder / "corpus")),
        "checkpoint": str(REPOSITORY / "tests" / "importing" / "checkpoints" / "parakeet_ctc"),
        "results": str(folder / "results"),
        "result": str(folder / "results" / "result.json"),
        "page": str(folder / "page.md"),
        "hotwords": str(folder / "hotwords"),
        "arpa": str(folder / "hotwords"),  # a file, of which no line reads the content
    }


ENDS = ("begin", "end")


def write_chapter(corpus: Path) -> Path:
    """Writes a corpus of one chapter of one utterance, laid out as LibriSpeech is."""
    chapter = corpus / "dev-clean" / "1" / "2"
    chapter.mkdir(parents=True)
    soundfile.write(chapter / "1-2-0.flac", np.zeros(FRAME * 8), 16000)
    (chapter / "1-2.trans.txt").write_text("1-2-0 ZERO\n")
    return corpus


# Texts for options that are neither paths nor numbers nor choices nor any text.
TEXTS: dict[str, list[str]] = {
    "--budget": ["", "x", "-1MB", "nanMB", "1e999MB", "0kB", "\udc80"],
    "--keep-float": ["[", "(", "*"],
    "--only": ["[", "nothing"],
    "--runner": ["nothing"],
    "--set": [
        "model.dim",
        "model.dim=[1",
        "a.b.c=1",
        "=",
        "model.dim=.nan",
        "model=1",
        "quantization=5",
        "\0=1",
        "x=\udc80",
    ],
    "--subset": ["nothing", "", "\udc80"],
    "--voice": ["", "a/b", "..", "\udc80", "n" * 300],
}
ANY_TEXT = {"--runner-option"}  # of which Beam ignores what it has no name for
NUMBERS = ["x", "", "1e999", "1e308", "nan", "-inf", "9" * 30, "-" + "9" * 30, "--", "0x10", "1,5"]
# Of FILES, what is valid: the folder of the results of grids may hold none of them.
VALID = {"--results": {"folder", "folder like a file", "run", "damaged run"}}


def unwritable(word: str, folder: Path) -> Iterator[str]:
    """Makes words in whose place nothing can be written, out of one with {out}."""
    (folder / "file").touch()
    (folder / "circle").symlink_to("circle")
    for name in ("file/more", "a\0b", "n" * 300, "circle/x", "/proc/self/x"):
        yield word.format(out=folder / name)
    taken = Path(word.rpartition("=")[2].format(out=folder / "taken"))
    if taken.suffix:  # a file
        taken.mkdir()
    else:
        taken.parent.mkdir(exist_ok=True)
        taken.touch()
    yield word.format(out=folder / "taken")


@functools.cache
def commands() -> dict[str, click.Command]:
    """Returns all commands of the command line by their words, from click itself."""

    def found(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        if not isinstance(command, click.Group):
            yield name, command
            return
        context = click.Context(command)
        for child in command.list_commands(context):
            member = command.get_command(context, child)
            assert member is not None
            yield from found(f"{name} {child}".strip(), member)

    return dict(found("", cli.cli))


def command_of(line: str) -> str:
    (name,) = (name for name in commands() if line.startswith(f"{name} "))
    return name


def options_of(line: str) -> dict[str, click.Parameter]:
    """Returns the options of a line's command that have a value."""
    parameters = commands()[command_of(line)].params
    options = [one for one in parameters if isinstance(one, click.Option) and not one.is_flag]
    return {name: one for one in options for name in one.opts}


def outcome(words: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Runs the command line in this process; returns its exit status and the last line on standard error."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    error = capfd.readouterr().err
    assert "Traceback" not in error, error
    lines = [line for line in error.splitlines() if line.strip()]
    return int(end.value.code or 0), lines[-1] if lines else ""


def require_one_sentence(words: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    status, line = outcome(words, capfd)
    assert status in (1, 2, 3), (words, status)
    assert line.startswith(("tfconformer: ", "Error: ")) and len(line) < 2000, (words, line)
    return line


def bad_words(line: str, word: str, folder: Path) -> Iterator[str]:
    """Yields bad words in place of one of a line; none for one of the command itself, or a flag."""
    option, _, value = word.partition("=") if word.startswith("--") else ("", "", word)
    kind = options_of(line)[option].type if option in options_of(line) else None
    if "<" in value:
        return
    if "{out}" in value:
        yield from unwritable(word, folder)
    elif "{" in value:
        before, after = word.split("{")[0], word.split("}")[1]
        valid = VALID.get(option, set())
        for name, path in made(NO_FILE if line in SLOW_LINES else FILES, folder):
            if name not in valid and (path or "initial_weights" not in word):  # of which the empty text is null
                yield f"{before}{path}{after}"
    elif isinstance(kind, click.Choice):
        yield from (f"{option}={text}" for text in ("nothing", ""))
    elif isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
        yield from (f"{option}={text}" for text in NUMBERS)
    elif isinstance(kind, UnicodeText):
        yield f"{option}=\udc80"
    elif kind is not None and option not in ANY_TEXT:
        yield from (f"{option}={text}" for text in TEXTS[option])


def test_the_lines_have_every_parameter_of_every_command() -> None:
    tried: dict[str, set[str]] = {name: set() for name in commands()}
    for line in (*LINES, *SLOW_LINES):
        command = commands()[command_of(line)]
        words = line.split()[len(command_of(line).split()) :]
        values, *_ = command.make_parser(click.Context(command)).parse_args(words)
        tried[command_of(line)] |= {name for name, value in values.items() if value}
    for name, command in commands().items():
        valued = {one.name for one in command.params if not (isinstance(one, click.Option) and one.is_flag)}
        assert not valued - tried[name], name


@pytest.mark.parametrize("line", [*LINES, *SLOW_LINES])
def test_bad_words(line, good, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = line.split()
    for place, word in enumerate(words):
        own = tmp_path / str(place)
        own.mkdir()
        for bad in bad_words(line, word, own):
            valid = [one.replace("<", "{").replace(">", "}").format(**good, out=own / "out") for one in words]
            require_one_sentence([*valid[:place], bad, *valid[place + 1 :]], capfd)


def test_a_folder_that_takes_no_file_is_one_sentence(good, capfd):
    """A folder of the kernel, which not even root can write."""
    require_one_sentence(["evaluate", good["tflite"], "--shards", good["shards"], "--output", "/proc/self/x"], capfd)


def test_a_model_whose_tokenizer_is_another_one_s(tmp_path, good, capfd):
    write_recognizer(tmp_path / "other.tflite", layer=random_layer(np.random.default_rng(0), 4, FRAME, 99))
    require_one_sentence(["evaluate", str(tmp_path / "other.tflite"), "--shards", good["shards"]], capfd)


def test_an_option_of_generated_speech_is_none_of_a_recognizer(good, capfd):
    require_one_sentence(["evaluate", good["tflite"], "--shards", good["shards"], "--utterances", "2"], capfd)


def test_a_file_without_metadata(tmp_path, good, capfd):
    path = tmp_path / "plain.tflite"
    path.write_bytes(RecognizerBuilder([random_layer(np.random.default_rng(0), 4, FRAME, 9)]).finish())
    for words in (
        ["summary"],
        ["evaluate", "--shards", good["shards"]],
        ["stream", "--wav", good["wav"]],
        ["transcribe", good["wav"]],
    ):
        require_one_sentence([words[0], str(path), *words[1:]], capfd)
