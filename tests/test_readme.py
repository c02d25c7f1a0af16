import json
import math
import re
from pathlib import Path

import jax
import numpy as np

import ar_jax as ar
from ar_jax.heads import Categorical
from ar_jax.orderings import Raster
from experiments.likelihood import COMMITTED, Record
from experiments.recipes import BENCHMARKS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RESULTS = sorted((ROOT / "experiments" / "results").glob("*/results.json"))


def code_of(text):
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_the_code_in_the_readme_trains_loads_scores_and_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in code_of(README):
        exec(block, names)
    count = len(names["data"].test)
    assert names["fitted"].finished
    assert names["log_prob"].shape == (count,)
    assert names["images"].shape == (count, 8, 8, 1)
    assert (tmp_path / "runs" / "mine" / "run.json").exists()


def test_the_code_in_contributing_runs_and_its_parts_keep_the_laws():
    names = {}
    for block in code_of(CONTRIBUTING):
        exec(block, names)
    teacher = np.full((2, 3, 1, 4), 0.25)
    model = ar.AutoregressiveModel(Raster((3,)), names["CausalMean"](), Categorical(4, embedding=2))
    batch = {"x": np.array([[0, 1, 2], [3, 2, 1]]), "teacher": teacher}
    variables = model.init(jax.random.key(0), batch["x"])
    loss, scalars = names["distillation"](model, variables, batch, jax.random.key(1))
    pmf = ar.log_pmf(model, variables, batch["x"])
    nats = -ar.log_prob(model, variables, batch["x"])
    soft = -0.25 * pmf.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(loss, (nats + soft) / 2, rtol=1e-5)
    np.testing.assert_allclose(scalars["nats"], nats, rtol=1e-5)


def test_the_file_tree_in_contributing_names_what_is_there():
    for path in (ROOT / "ar_jax").iterdir():
        if path.suffix == ".py" or (path / "__init__.py").exists():
            assert re.search(rf"^  {path.name}/? ", CONTRIBUTING, flags=re.MULTILINE) or (
                path.name == "__init__.py"
            ), path


def test_every_conditional_is_in_the_table_of_the_readme():
    table = README.partition("## Models")[2].partition("## ")[0]
    helpers = {"Conditional", "SequenceConditional", "LinearPrediction"}
    for name in set(ar.conditionals.__all__) - helpers:
        assert f"`{name}`" in table, name


def test_the_readme_is_short_and_its_prose_is_not_packed():
    assert README.count("\n") <= 100
    prose = re.sub(r"^[|!].*$", "", README, flags=re.MULTILINE)
    assert max(map(len, prose.splitlines())) <= 105


def test_the_figures_in_the_readme_are_those_of_kept_weights():
    """Which `verify` computes again, in a test of its own."""
    rows = re.findall(r"^\| `(\w+/\w+)` \|([^|]*)\|([^|]*)\|([^|]*)\|$", README, flags=re.MULTILINE)
    assert len(rows) >= 3
    for name, ours, others, seconds in rows:
        benchmark = BENCHMARKS[name.partition("/")[0]]
        record = Record.read(COMMITTED / name / "seed=0.json")
        assert (COMMITTED / name / "seed=0.npz").exists()
        value, error = benchmark.figure(record.likelihood)
        digits = len(ours.split()[0].partition(".")[2])
        assert ours.strip().startswith(f"{value:.{digits}f} ± {error:.{digits}f} {benchmark.unit}")
        assert seconds.strip() == f"{record.training_cpu_seconds:,.0f}"
        accuracy = record.others.get("bayes_accuracy")
        if accuracy is not None:
            spread = 100 * math.sqrt(accuracy * (1 - accuracy) / (record.likelihood.count - 1))
            assert f"{100 * accuracy:.1f} ± {spread:.1f} % by Bayes' rule" in ours
        published = [recipe.published for recipe in benchmark.recipes.values()]
        known = [each.rounded for each in (*published, *benchmark.others.values()) if each]
        assert set(re.findall(r"\d+\.\d+", others)) <= set(known)


def test_figures_without_weights_are_those_of_their_records():
    """They stand apart from the README, which has figures of kept weights only."""
    page = (ROOT / "experiments" / "results" / "README.md").read_text(encoding="utf-8")
    assert len(RESULTS) == 4
    for path in RESULTS:
        results = json.loads(path.read_bytes())
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{path.parent.name}`")]
        assert f" {results['nats']:.2f} ± {results['likelihood']['error']:.2f}" in row
        assert f"| {results['training_cpu_seconds']:,.0f} |" in row
        assert path.parent.name not in README
