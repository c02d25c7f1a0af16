"""Our networks learn what the same networks in plain PyTorch learn."""

import io
import json
from contextlib import redirect_stdout

import numpy as np
import pytest

from experiments.benchmarks.learning_curves import OURS, run


@pytest.mark.parametrize("name", OURS)
def test_a_learning_curve_is_that_of_the_same_network_in_pytorch(
    name, tmp_path, tfds_folder, monkeypatch
):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_folder))
    with redirect_stdout(io.StringIO()):
        run(["--debug", "--batch-size", "16", "--models", name, "--folder", str(tmp_path)])
    curves = json.loads((tmp_path / f"{name}.json").read_bytes())
    ours, theirs = curves["ar_jax"], curves["PyTorch"]
    assert len(ours["training"]) == curves["steps_of_an_epoch"] == 6
    assert ours["training"][-1] < 0.8 * ours["training"][0]
    # Rounding is amplified by Adam, which divides small gradients by themselves.
    np.testing.assert_allclose(ours["training"][0], theirs["training"][0], rtol=1e-5)
    np.testing.assert_allclose(ours["training"], theirs["training"], rtol=1e-3)
    np.testing.assert_allclose(ours["validation"], theirs["validation"], rtol=1e-3)
    assert f"| {name} | " in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
