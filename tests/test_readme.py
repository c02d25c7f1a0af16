import re
from pathlib import Path

import numpy as np

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_code_in_the_readme_runs():
    rng = np.random.default_rng(0)
    names = {"x": rng.integers(0, 2, (3, 28, 28, 1)), "y": np.array([3, 1, 4])}
    for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        exec(block, names)
    assert names["log_prob"].shape == (3,)
    assert names["images"].shape == (3, 28, 28, 1)
    assert names["more"].shape == (16, 28, 28, 1)


def test_the_file_tree_in_the_readme_names_what_is_there():
    root = Path(__file__).parents[1] / "ar_jax"
    for path in root.iterdir():
        if path.suffix == ".py" or (path / "__init__.py").exists():
            assert re.search(rf"^  {path.name}/? ", README, flags=re.MULTILINE) or (
                path.name == "__init__.py"
            ), path


def test_the_readme_is_short():
    assert README.count("\n") <= 100
