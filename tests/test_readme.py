import json
import math
import re
from pathlib import Path

import numpy as np

from experiments.likelihood import COMMITTED, Record
from experiments.recipes import BENCHMARKS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = sorted((ROOT / "experiments" / "results").glob("*/results.json"))


def test_the_code_in_the_readme_runs():
    rng = np.random.default_rng(0)
    names = {"x": rng.integers(0, 2, (3, 28, 28, 1)), "y": np.array([3, 1, 4])}
    for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        exec(block, names)
    assert names["log_prob"].shape == (3,)
    assert names["images"].shape == (3, 28, 28, 1)
    assert names["more"].shape == (16, 28, 28, 1)


def test_the_file_tree_in_the_readme_names_what_is_there():
    for path in (ROOT / "ar_jax").iterdir():
        if path.suffix == ".py" or (path / "__init__.py").exists():
            assert re.search(rf"^  {path.name}/? ", README, flags=re.MULTILINE) or (
                path.name == "__init__.py"
            ), path


def test_the_readme_is_short():
    assert README.count("\n") <= 100


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
        assert path.parent.name not in README.partition("## Where")[0]
