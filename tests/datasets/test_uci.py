"""How the tables of arXiv 1705.07057 are prepared, and what is refused."""

import h5py
import numpy as np
import pytest

from ar_jax.datasets.uci import read_table
from tests.datasets.refused import refused


def test_power_is_shuffled_and_loses_two_columns(tmp_path):
    values = np.arange(800.0).reshape(100, 8) + 1e6
    (tmp_path / "power").mkdir()
    np.save(tmp_path / "power" / "data.npy", values)
    parts = read_table("power", tmp_path)
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [81, 9, 10]
    seen = np.concatenate([parts.train, parts.validation])
    assert seen.shape[1] == 6
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(seen.std(axis=0), 1, rtol=1e-9)
    rows = np.concatenate([seen, parts.test])[:, -1]  # a column without noise tells the order
    order = np.random.RandomState(42).permutation(100)
    np.testing.assert_array_equal(np.argsort(np.argsort(rows)), order)


def test_gas_loses_columns_that_follow_from_others(tmp_path):
    rng = np.random.default_rng(0)
    free = rng.standard_normal((200, 3))
    sensors = np.column_stack([free[:, 0], free, 2 * free[:, 2] + 1])
    lines = np.column_stack([np.zeros((200, 3)), sensors])
    (tmp_path / "gas").mkdir()
    np.savetxt(tmp_path / "gas" / "ethylene_CO.txt", lines, header="Time, CO, Ethylene, sensors")
    parts = read_table("gas", tmp_path)
    rows = np.concatenate([parts.train, parts.validation, parts.test])
    scaled = (sensors - sensors.mean(axis=0)) / sensors.std(axis=0)
    np.testing.assert_allclose(rows, scaled[:, [1, 2, 4]], atol=1e-9)
    assert len(parts.test) == 20
    assert len(parts.validation) == 18


def test_hepmass_keeps_signals_and_columns_without_repeats(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "hepmass").mkdir()
    signals = {}
    for part, rows in (("train", 200), ("test", 50)):
        label = rng.integers(0, 2, rows)
        values = rng.standard_normal((rows, 3))
        values[:, 1] = rng.integers(0, 2, rows)
        signals[part] = values[label == 1][:, [0, 2]]
        extra = [np.ones(rows)] if part == "test" else []  # a column that only the test file has
        table = np.column_stack([label, values, *extra])
        np.savetxt(tmp_path / "hepmass" / f"1000_{part}.csv", table, delimiter=",", header="names")
    parts = read_table("hepmass", tmp_path)
    train = np.concatenate([parts.train, parts.validation])
    mean, deviation = signals["train"].mean(axis=0), signals["train"].std(axis=0)
    np.testing.assert_allclose(train, (signals["train"] - mean) / deviation, atol=1e-9)
    np.testing.assert_allclose(parts.test, (signals["test"] - mean) / deviation, atol=1e-9)
    assert len(parts.validation) == len(train) // 10


def test_bsds300_is_read_as_it_is(tmp_path):
    (tmp_path / "BSDS300").mkdir()
    rows = np.random.default_rng(0).standard_normal((3, 7, 63))
    with h5py.File(tmp_path / "BSDS300" / "BSDS300.hdf5", "w") as file:
        for name, part in zip(("train", "validation", "test"), rows, strict=True):
            file[name] = part
    parts = read_table("bsds300", tmp_path)
    np.testing.assert_array_equal([parts.train, parts.validation, parts.test], rows)


TABLES = {"power": "power/data.npy", "miniboone": "miniboone/data.npy"}
TABLES |= {"gas": "gas/ethylene_CO.txt", "hepmass": "hepmass/1000_train.csv"}


@pytest.mark.parametrize(("name", "file"), TABLES.items())
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((19, 8)), "expected at least 20 rows, to deal out, got 19"),
        (np.ones((30, 3)), r"expected at least 4 columns, got shape \[30, 3\]"),
        (np.full((30, 8), np.nan), "expected finite numbers"),
    ],
)
def test_a_table_that_is_none_is_named(name, file, values, message, tmp_path):
    path = tmp_path / file
    path.parent.mkdir()
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        np.savetxt(path, values, delimiter="," if name == "hepmass" else " ", header="names")
        (path.parent / "1000_test.csv").write_bytes(path.read_bytes())
    refused(f"{path.name}: {message}", lambda: read_table(name, tmp_path))


def test_a_text_in_place_of_numbers_is_named(tmp_path):
    (tmp_path / "gas").mkdir()
    (tmp_path / "gas" / "ethylene_CO.txt").write_text("names\n1 2 x 4\n", encoding="utf-8")
    refused("CO.txt: expected rows of numbers, got could", lambda: read_table("gas", tmp_path))


def test_a_file_of_hdf5_that_claims_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / "BSDS300" / "BSDS300.hdf5"
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        for name in ("train", "validation", "test"):
            file.create_dataset(name, (2**40, 63), "f8", chunks=(2**10, 63))
    refused("hdf5: expected train, .*, more than the file", lambda: read_table("bsds300", tmp_path))
    path.write_bytes(b"no such file")
    refused("hdf5: expected train, validation and test", lambda: read_table("bsds300", tmp_path))
