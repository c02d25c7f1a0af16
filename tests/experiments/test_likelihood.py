"""The likelihood benchmarks: every recipe runs, and the page tells what was found."""

import dataclasses
import io
import json
import math
import os
import re
import subprocess
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from ar_jax.configuration import describe
from ar_jax.evaluation import Likelihood
from ar_jax.experiment.weights import read_scores
from experiments import likelihood
from experiments.likelihood import COMMITTED, Place, Record
from experiments.recipes import RECIPES
from experiments.recipes.base import Benchmark, Published
from experiments.run import carry_out, configured
from tests.experiments.test_experiments import Place as Folder

SAME_WITH_DEBUG = ("_2x100", "_2x512", "_1x1024", "_2x1024")
"""The rest of a table's grid, whose smallest networks run."""


@pytest.fixture(scope="module")
def place(tmp_path_factory, tfds_folder):
    return Folder(tmp_path_factory.mktemp("likelihood"), tfds_folder)


@pytest.mark.parametrize("name", [n for n in RECIPES if not n.endswith(SAME_WITH_DEBUG)])
def test_a_recipe_runs_with_debug(name, place, monkeypatch):
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("TFDS_DATA_DIR", place.environment["TFDS_DATA_DIR"])
    folder = place.folder / "runs" / name
    experiment = dataclasses.replace(RECIPES[name].experiment, folder=folder)
    arguments = ["--debug", "--batch-size", "8", "--folder", str(folder)]
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        if "/maf" in name:  # hardly trained, it may overflow when it draws: no picture then
            warnings.filterwarnings("ignore", ".*what its network computes is too large")
        assert carry_out(experiment, arguments, f"{likelihood.PROGRAM} {name}")
    record = Record.of_run(name, folder)
    assert math.isfinite(record.likelihood.nats)
    assert record.likelihood.kind == "exact"
    assert record.likelihood.split == "generated data"
    assert record.changed  # so that no page takes it for the recipe's
    assert list(folder.glob("samples.*")) or "/maf" in name


@pytest.mark.parametrize(
    ("unit", "variables", "expected"),
    [
        ("nats", 0, (12.0, 0.6)),
        ("log-likelihood, nats", 0, (-12.0, 0.6)),
        ("nats/chord", 2, (6.0, 0.3)),
        ("bits/dim", 1, (3 / math.log(2), 0.15 / math.log(2))),
    ],
)
def test_a_figure_is_in_the_unit_of_its_benchmark(unit, variables, expected):
    found = Likelihood(12.0, 0.6, variables=4, count=9, split="test", kind="exact")
    benchmark = Benchmark("", "", unit, {}, variables)
    assert benchmark.figure(found) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("figure", "expected"),
    [(2.9, "2.90"), (-17.7, "-17.70"), (155.69, "155.69"), (1.4697, "1.4697")],
)
def test_a_published_figure_stands_as_in_its_paper(figure, expected):
    assert str(Published(figure, "a paper", "by chance")) == f"{expected}, a paper: by chance"


def test_a_selection_is_trained_kept_shown_and_verified(tmp_path, tfds_folder):
    place = Folder(tmp_path, tfds_folder)
    names = ["power/made_1x100", "miniboone/maf_1x512"]
    command = ["likelihood", "train", *names, "--debug", "--seeds", "3"]
    first = place.start(*command)
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "runs" / "likelihood"
    records = {name: folder / name / "seed=3.json" for name in names}
    page = (folder / "README.md").read_text(encoding="utf-8")
    for name, path in records.items():
        record = Record.read(path)
        assert (record.name, record.seed) == (name, 3)
        assert record.configuration["training"]["steps"] == 20
        assert [line["step"] for line in record.metrics] == [10, 20]
        assert f"{-record.likelihood.nats:.2f} ± {record.likelihood.error:.2f}" in page
        assert f"`{record.command}`" in page
        assert f"| {name.partition('/')[2]} (changed) |" in page
        assert (folder / name / "../curves.png").read_bytes().startswith(b"\x89PNG")
    trained = {path: path.stat().st_mtime_ns for path in folder.rglob("metrics.jsonl")}
    again = place.start(*command)
    assert again.returncode == 0, again.stderr
    assert trained == {path: path.stat().st_mtime_ns for path in folder.rglob("metrics.jsonl")}
    compared = place.run("likelihood", "compare", names[0], names[0], "--folder", str(folder))
    assert "power/made_1x100 (seeds [3]) - power/made_1x100 (seeds [3]): " in compared
    assert "0.0000 ± 0.0000 log-likelihood, nats, of 40 pairs (independent examples)" in compared
    assert "What seeds change is unknown with one of either" in compared
    assert "train power/made_1x100 power/made_1x100 --seeds 0 1 2" in compared
    with pytest.raises(SystemExit, match="compare: expected two of one benchmark, got power/made"):
        place.run("likelihood", "compare", *names, "--folder", str(folder))
    with pytest.raises(SystemExit, match="power/maf_1x100: expected a record with its scores"):
        place.run("likelihood", "compare", names[0], "power/maf_1x100", "--folder", str(folder))
    verified = place.run("likelihood", "verify", "--folder", str(folder))
    assert verified.count("as recorded") == 2
    weights = records["power/made_1x100"].with_suffix(".npz")
    with np.load(weights) as arrays:
        changed = {name: 1.001 * arrays[name] for name in arrays.files}
    np.savez(weights, **changed)
    with pytest.raises(SystemExit, match="expected the recorded figures, got others for power/m"):
        place.run("likelihood", "verify", "--folder", str(folder))
    path = records["power/made_1x100"]
    path.write_text(
        path.read_text(encoding="utf-8").replace('"batch_size": 16', '"batch_size": 17'),
        encoding="utf-8",
    )
    with pytest.raises(SystemExit, match="got one of before it changed; train into another"):
        place.run("likelihood", "verify", "--folder", str(folder))
    for weights in folder.rglob("*.npz"):
        weights.unlink()
    with pytest.raises(SystemExit, match="expected a record with its weights and its data"):
        place.run("likelihood", "verify", "--folder", str(folder))


def test_a_selection_that_fails_in_part_is_shown_in_part(place):
    command = ["likelihood", "train", "power/made_1x100", "cifar10/pixelsnail"]
    command += ["--debug", "--training.steps", "10", "--folder", "partly"]
    finished = place.start(*command, "--model.conditional.hidden", "8")
    assert "finished" in finished.stdout
    assert "refused its options" in finished.stdout
    assert "--model.conditional.hidden" in finished.stderr
    assert "the same command goes on" not in finished.stderr
    assert finished.returncode != 0
    assert "| made_1x100 (changed) |" in (place.folder / "partly" / "README.md").read_text(
        encoding="utf-8"
    )


def recorded(**changes):
    """A record of power/made_1x100."""
    record = Record(
        name="power/made_1x100", seed=0, arguments=[], command="python", device="1 x cpu",
        parameters=1, training_cpu_seconds=1.0,
        likelihood=Likelihood(1.0, 0.1, variables=6, count=9, split="test", kind="exact"),
        configuration={"class": "UciTable"}, metrics=[{"step": 1}],
    )  # fmt: skip
    return dataclasses.replace(record, **changes)


@pytest.mark.parametrize(
    ("name", "arguments", "changed"),
    [
        ("power/made_1x100", [], False),
        ("power/made_1x100", ["--training.seed", "3"], False),
        ("power/made_1x100", ["--data.dir", "elsewhere"], False),
        ("power/made_1x100", ["--table", "gas"], True),
        ("power/made_1x100", ["--training.optimizer.learning-rate", "0.1"], True),
        ("text8/mamba", ["--name", "enwik8"], True),
        ("chorales/lstm", ["--data.path", "chorales.npz"], False),
    ],
)
def test_a_page_tells_runs_that_are_not_the_recipes(name, arguments, changed):
    experiment = configured(RECIPES[name].experiment, arguments, "")
    configuration = json.loads(json.dumps(describe(experiment)))
    record = recorded(name=name, configuration=configuration, seed=experiment.training.seed)
    assert record.changed == changed


@pytest.mark.parametrize("field", ["configuration", "metrics", "command", "likelihood"])
def test_a_result_without_its_configuration_or_metrics_is_refused(field, tmp_path):
    path = tmp_path / "power" / "made_1x100" / "seed=0.json"
    record = recorded()
    path.parent.mkdir(parents=True)
    record.write(path)
    assert Record.read(path) == record
    fields = json.loads(path.read_bytes())
    for without in (fields | {field: type(fields[field])()}, fields.keys() - {field}):
        kept = without if isinstance(without, dict) else {name: fields[name] for name in without}
        path.write_text(json.dumps(kept), encoding="utf-8")
        with pytest.raises(ValueError, match=r"expected (a|the) record"):
            _ = Place(tmp_path).records


def test_a_record_of_another_seed_is_refused(tmp_path):
    recorded(seed=1).write(tmp_path / "seed=0.json")
    with pytest.raises(ValueError, match="expected the record of power/made_1x100, seed 1"):
        Record.read(tmp_path / "seed=0.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "power/mode"], "recipes: expected some of"),
        (["train", "power/made_1x100", "power/made_1x100"], "recipes: expected each once"),
        (["train", "power/made_1x100", "--training.seed", "5"], "(--seeds sets training.seed)"),
        (["page", "--folder", "nowhere"], "folder: expected one with records, got nowhere"),
        (["power/made_1x100"], "data.dir: expected the folder of the tables, got none"),
        (
            ["power/made_1x100", "--data.dir", "nowhere"],
            "expected nowhere/power/data.npy, got no such",
        ),
        (["text8/mamba"], "data.path: expected text8, got none"),
        (["text8/mamba", "--data.path", "note.txt"], "note.txt: expected the 100,000,000 chara"),
        (["jsb_chorales/tcn"], "data.path: expected jsb-chorales-quarter.json"),
        (["jsb_chorales/tcn", "--data.path", "note.txt"], "expected train, valid and test"),
        (["cifar10/pixelsnail", "--data.dir", "nowhere"], "cifar10: expected a prepared data set"),
        (["imagenet64/pixelsnail", "--data.dir", "x"], "downsampled_imagenet/64x64: expected a p"),
        (["static_mnist/made", "--data.dir", "x"], "binarized_mnist: expected a prepared data"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(arguments, message, place):
    with pytest.raises(SystemExit) as stopped:
        place.run("likelihood", *arguments)
    assert message in str(stopped.value)
    assert "\n" not in str(stopped.value)


def test_the_committed_page_is_that_of_the_committed_records(tmp_path):
    files = [path for path in COMMITTED.rglob("*") if path.suffix in (".json", ".txt", ".png")]
    for path in files:
        copy = tmp_path / path.relative_to(COMMITTED)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    with redirect_stdout(io.StringIO()):
        likelihood.render(tmp_path)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == (
        COMMITTED / "README.md"
    ).read_text(encoding="utf-8")
    assert not any(record.changed for record in Place().records.values())
    assert all("generated" not in r.likelihood.split for r in Place().records.values())


@pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="needs prepared data sets")
def test_the_committed_weights_have_the_committed_figures():
    """As a user runs it: the tests' own flags would round otherwise."""
    ours = ("XLA_FLAGS", "JAX_DISABLE_MOST_OPTIMIZATIONS")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    command = [sys.executable, "-m", "experiments.likelihood", "verify"]
    result = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    readme = Path(__file__).parents[2] / "README.md"
    page = readme.read_text(encoding="utf-8")
    for name in re.findall(r"^\| `(\w+/\w+)` \|", page, flags=re.MULTILINE):
        (line,) = [line for line in lines if line.startswith(f"{name}, seed 0: ")]
        assert "as recorded" in line
    assert all(path.stat().st_size <= 3_000_000 for path in COMMITTED.rglob("*.npz"))


def test_the_committed_scores_have_the_committed_figures():
    for path, record in Place().records.items():
        scores = path.with_name(f"{path.stem}.scores.npz")
        if record.name.partition("/")[0] not in ("dynamic_mnist", "fashion_mnist"):  # of windows
            assert scores.exists() or record.likelihood.error_method.endswith("too small")
        if scores.exists():
            found = read_scores(scores).likelihood(record.likelihood.split)
            assert found.nats == pytest.approx(record.likelihood.nats, rel=1e-6)
            assert found.error == pytest.approx(record.likelihood.error, rel=1e-4)
            assert found.error_method == record.likelihood.error_method
