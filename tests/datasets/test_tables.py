"""How tables are dealt out."""

import itertools
import sys

import numpy as np
import pytest

from ar_jax.datasets import Electricity, ScikitTable


@pytest.fixture(scope="module")
def loads(tmp_path_factory):
    """Forty days of eight rows; the second profile is a copy, the third rests at night."""
    rng = np.random.default_rng(0)
    load = np.round(rng.random((320, 4)), 4).astype(np.float32)
    load[:, 1] = load[:, 0] + 0.01 * rng.random(320)
    load[::4, 2] = 0
    days = [f"{1 + day % 28:02}.{1 + day // 28:02}.2016" for day in range(40)]
    time = [f"{day} {3 * hour:02}:00" for day in days for hour in range(8)]
    path = tmp_path_factory.mktemp("loads") / "loads.npz"
    np.savez(path, load=load, profile=["a", "b", "c", "d"], time=time)
    return str(path)


def test_days_are_dealt_out_whole_and_standardised_by_what_trains(loads):
    dataset = Electricity(1, loads)
    table = dataset.read()
    assert table.columns == ["a", "d"]
    fold = dataset.dealt
    assert len(fold.groups) == 8 * len(set(fold.groups)) == 8 * 8
    np.testing.assert_allclose(fold.parts.train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(fold.parts.train.std(axis=0), 1)
    raw = fold.parts.map(lambda part: part * fold.deviation + fold.mean)
    day_of = {tuple(row): day for row, day in zip(table.values.round(9), table.groups, strict=True)}
    rows = [[tuple(row) for row in part.round(9)] for part in vars(raw).values()]
    assert sorted(itertools.chain(*rows)) == sorted(day_of)
    days = [{day_of[row] for row in part} for part in rows]
    assert [len(part) for part in days] == [29, 3, 8]
    assert len(set.union(*days)) == 40  # no day is in two parts


def test_a_missing_scikit_learn_is_told_in_a_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(
        ValueError, match=r"^scikit-learn: expected .* pip install 'ar_jax\[tables\]'$"
    ):
        ScikitTable().load()
