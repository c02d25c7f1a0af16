"""Densities of tables: the error, the mixture beside them, and the page."""

import csv
import json

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from ar_jax.data import Splits
from ar_jax.datasets import ScikitTable
from ar_jax.datasets.tables import Fold
from experiments.table_data import judge
from experiments.tables import ScikitMixture
from tests.experiments.test_experiments import Place


def test_the_error_counts_days_and_not_rows(tmp_path):
    day, rows = np.repeat(np.arange(8), 8), np.zeros((64, 2))
    fold = Fold(["a", "b"], Splits(rows, rows, rows), rows[0], rows[0], day)
    names = np.unique(day)
    score = np.random.default_rng(0).standard_normal(len(names))
    likelihood = judge(fold, score[day], tmp_path)["likelihood"]
    assert likelihood.nats == pytest.approx(-score.mean())
    assert likelihood.error == pytest.approx(score.std(ddof=1) / np.sqrt(len(names)))
    assert likelihood.count == 8 * len(names)


def test_one_component_is_the_gaussian_of_the_training_rows(tmp_path):
    mixture = ScikitMixture(table="wine", fold=2, components=(1,), floors=(0.01,), folder=tmp_path)
    mixture.run()
    parts = ScikitTable(2, "wine").dealt.parts
    covariance = np.cov(parts.train, rowvar=False, bias=True) + 0.01 * np.eye(12)
    normal = multivariate_normal(parts.train.mean(axis=0), covariance)
    found = json.loads((tmp_path / "results.json").read_bytes())
    assert found["likelihood"]["nats"] == pytest.approx(-normal.logpdf(parts.test).mean())
    assert found["parameters"] == 12 + 12 * 13 // 2
    assert len(np.loadtxt(tmp_path / "test_nats.txt")) == len(parts.test)


@pytest.mark.parametrize(("middle", "chosen"), [(False, 2), (True, 1)])
def test_validation_chooses_the_components(middle, chosen, tmp_path):
    rng = np.random.default_rng(0)
    sides = 5.0 * rng.choice([-1, 1], (500, 1)) + rng.standard_normal((500, 2))
    held_out = rng.standard_normal((100, 2)) if middle else sides[400:]
    mixture = ScikitMixture(table="wine", components=(1, 2), floors=(1e-6,), folder=tmp_path)
    assert mixture.fit(Splits(sides[:400], held_out, sides[:1])).n_components == chosen


def test_a_page_shows_models_of_one_table_and_their_rows(tmp_path, tfds_folder):
    place = Place(tmp_path, tfds_folder)
    arguments = ["--tables", "wine", "--models", "made", "--debug", "--folder", "tables"]
    place.run("tables", *arguments)
    text = (tmp_path / "tables" / "README.md").read_text(encoding="utf-8")
    rows = [line for line in text.split("\n") if " ± " in line]
    assert len(rows) == 3
    assert sum("**" in row for row in rows) == 1
    assert "**" in rows[0]  # the best comes first
    for name in ("gaussian", "gaussian_mixture", "made"):
        run = tmp_path / "tables" / "wine" / name / "fold=0"
        score = json.loads((run / "results.json").read_bytes())["likelihood"]
        assert f"{-score['nats']:.2f} ± {score['error']:.2f}" in text
        assert np.loadtxt(run / "test_nats.txt").mean() == pytest.approx(score["nats"], abs=1e-5)
    assert (tmp_path / "tables" / "wine.png").exists()
    before = (run / "results.json").stat().st_mtime_ns
    assert "Wrote" in place.run("tables", *arguments)  # all is there: nothing is trained again
    assert (run / "results.json").stat().st_mtime_ns == before
    with (run / "samples.csv").open(encoding="utf-8") as file:
        header, *drawn = csv.reader(file)
    table = ScikitTable(name="wine").read()
    assert header == table.columns
    middle = np.median(np.array(drawn, float), axis=0)  # in the units of the columns
    assert (abs(middle - table.values.mean(axis=0)) < 2 * table.values.std(axis=0)).all()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tables", "electricity"],
        ["--tables", "electricity", "--electricity", "chorales.npz"],
        ["--tables", "wines"],
        ["page", "--folder", "nowhere"],
    ],
)
def test_a_mistake_is_told_without_a_traceback(arguments, tmp_path, tfds_folder, capsys):
    with pytest.raises(SystemExit) as stopped:
        Place(tmp_path, tfds_folder).run("tables", *arguments)
    message = f"{stopped.value} {capsys.readouterr().err}"
    assert "expected" in message or "invalid choice" in message
    assert not (tmp_path / "runs").exists()
