import json
import re
from pathlib import Path

import numpy as np
import pytest

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


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_a_figure_in_the_readme_is_that_of_the_committed_run(path):
    results = json.loads(path.read_bytes())
    assert results["command"] == f"python -m experiments.{path.parent.name}"
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{path.parent.name}`")]
    nats, error = results["nats"], results["likelihood"]["error"]
    bits = results["bits_per_dim"] / nats
    characters = results.get("nats_per_character", 0)
    assert (
        f" {nats:.2f} ± {error:.2f} nats" in row
        or f" {nats * bits:.3f} ± {error * bits:.3f} bits/dim" in row
        or f" {characters:.3f} nats/character" in row
    )
    assert f"| {results['training_cpu_seconds']:,.0f} |" in row
    for name in ("config.json", "metrics.jsonl", "curves.png"):
        assert (path.parent / name).exists()
    assert list(path.parent.glob("samples.*"))


def test_the_readme_shows_the_head_of_the_likelihood_table():
    rows = re.findall(
        r"^\| `likelihood (\S+)`[^|]*\|([^|]*)\|([^|]*)\|", README, flags=re.MULTILINE
    )
    assert len(rows) >= 2
    for name, told, seconds in rows:
        record = Record.read(COMMITTED / name / "seed=0.json")
        value, error = BENCHMARKS[name.partition("/")[0]].figure(record.likelihood)
        digits = len(told.split()[0].partition(".")[2])
        assert told.strip().startswith(f"{value:.{digits}f} ± {error:.{digits}f} ")
        assert seconds.strip() == f"{record.training_cpu_seconds:,.0f}"
        assert record.command == f"python -m experiments.likelihood {name}"
