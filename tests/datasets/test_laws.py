"""What holds of every data set."""

import dataclasses
import inspect
import json

import jax
import numpy as np
import pytest
from scipy.io import wavfile

import ar_jax as ar
from ar_jax.configuration import build, describe
from ar_jax.data import Splits
from ar_jax.datasets import imagenet, shakespeare
from tests.prepared_data import write_images

D = ar.datasets
DATASETS = [
    D.Digits(), D.Digits(labels=True), D.MNIST(), D.FashionMNIST(labels=True), D.BinarisedMNIST(),
    D.BinarisedMNIST(labels=True), D.StaticBinarisedMNIST(), D.CIFAR10(), D.CIFAR10(mirror=True),
    D.ImageNet(32), D.ImageNet(64), D.TinyShakespeare(window=32),
    D.TinyShakespeare(split="nanogpt"),
    D.Text(window=20), D.Text(symbols="characters"), D.Text8(), D.Enwik8(window=100), D.Chorales(),
    D.JSBChorales(), D.Speech(window=100), D.Speech(code="digits"), D.Proteins(),
    D.Proteins(window=100, by_clusters=False), D.Electricity(), D.ScikitTable(name="wine"),
    D.ScikitTable(2, "breast_cancer"), *map(D.UCI, ("power", "gas", "hepmass", "miniboone")),
    D.UCI("bsds300"),
]  # fmt: skip


def places(dataset):
    return [field.name for field in dataclasses.fields(dataset) if "place" in field.metadata]


def arrays(batch):
    """The shape of an example and the dtype of each array of a batch."""
    return jax.tree.map(lambda leaf: (leaf.shape[1:], leaf.dtype), batch)


def test_the_laws_are_of_every_data_set():
    exported = {value for value in vars(D).values() if inspect.isclass(value)}
    final = {c for c in exported if issubclass(c, D.Dataset) and not inspect.isabstract(c)}
    assert final == {type(dataset) for dataset in DATASETS}
    assert final <= {getattr(D, name) for name in D.__all__}


@pytest.mark.parametrize("dataset", DATASETS, ids=repr)
def test_made_up_data_has_the_shapes_of_the_example_and_is_the_same_again(dataset):
    example, parts, again = dataset.example, dataset.fake(), dataset.fake()
    assert len(example["x"]) == 1
    for name, part in vars(parts).items():
        assert len(part) >= 16
        batch = part.batch(np.arange(16))
        jax.tree.map(np.testing.assert_array_equal, batch, vars(again)[name].batch(np.arange(16)))
        if name == "train":
            batch["x"] = dataset.transform(batch["x"], np.random.default_rng(0))
        assert arrays(batch) == arrays(example)


@pytest.mark.parametrize("dataset", DATASETS, ids=repr)
def test_a_transform_is_of_a_batch_and_its_randomness_alone(dataset):
    x = dataset.fake().train.batch(np.arange(16))["x"]
    before = x.copy()
    first, again = (dataset.transform(x, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(x, before)
    assert first.shape == x.shape


@pytest.mark.parametrize("dataset", DATASETS, ids=repr)
def test_a_data_set_comes_back_from_its_configuration_without_its_place(dataset):
    there = dataclasses.replace(dataset, **dict.fromkeys(places(dataset), "elsewhere"))
    described = json.loads(json.dumps(describe(there)))
    assert "elsewhere" not in str(described)
    assert build(described) == dataset


@pytest.mark.parametrize("dataset", [d for d in DATASETS if places(d)], ids=repr)
def test_data_that_is_not_there_is_asked_for_by_its_address_and_option(
    dataset, tmp_path, monkeypatch
):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        _ = dataset.train
    told = str(error.value)
    assert dataset.origin.address in told
    assert "\n" not in told
    for option in places(dataset):
        assert f"--data.{option} " in told


@pytest.mark.parametrize("dataset", [d for d in DATASETS if places(d)], ids=repr)
def test_a_place_where_nothing_is_is_named_with_the_address(dataset, tmp_path):
    nowhere = str(tmp_path / "nowhere")
    there = dataclasses.replace(dataset, **dict.fromkeys(places(dataset), nowhere))
    with pytest.raises(FileNotFoundError) as error:
        _ = there.test
    assert nowhere in str(error.value)
    assert there.origin.address in str(error.value)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Small files of one's own."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    (folder / "a.txt").write_text("It was so. " * 1000, encoding="utf-8")
    (folder / "sounds").mkdir()
    for index in range(10):
        sound = rng.integers(-(2**15), 2**15, 300).astype(np.int16)
        wavfile.write(folder / "sounds" / f"{index}.wav", 8000, sound)
    pitch = rng.integers(0, 128, (1000, 4), np.uint8)
    np.savez(folder / "chorales.npz", pitch=pitch, lengths=np.full(10, 100))
    notes = [[[60, 64]] * 40]
    jsb = json.dumps({"train": notes, "valid": notes, "test": notes})
    (folder / "jsb.json").write_text(jsb, encoding="utf-8")
    for name in ("1.fasta", "2.fasta"):
        residues = rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), (40, 150))
        sequences = "".join(f">\n{''.join(row)}\n" for row in residues)
        (folder / name).write_text(sequences, encoding="utf-8")
    (folder / "miniboone").mkdir()
    np.save(folder / "miniboone" / "data.npy", rng.standard_normal((100, 43)))
    load = rng.random((14, 33))
    time = [f"2016-01-{day + 1:02}" for day in range(14)]
    np.savez(folder / "loads.npz", load=load, profile=list(map(str, range(33))), time=time)
    return folder


def true_data(folder, tfds):
    """Data sets that are there."""
    tfds = str(tfds)
    return [
        D.Digits(), D.Digits(labels=True), D.MNIST(dir=tfds), D.FashionMNIST(labels=True, dir=tfds),
        D.BinarisedMNIST(labels=True, dir=tfds), D.TinyShakespeare(split="nanogpt", dir=tfds),
        D.Text(f"{folder}/a.txt", window=20), D.Text(f"{folder}/a.txt", 30, "characters"),
        D.Chorales(f"{folder}/chorales.npz"), D.JSBChorales(f"{folder}/jsb.json"),
        D.Speech(f"{folder}/sounds", window=100), D.Speech(f"{folder}/sounds", 100, "digits"),
        D.Proteins(f"{folder}/1.fasta", f"{folder}/2.fasta", 100, by_clusters=False),
        D.UCI("miniboone", str(folder)), D.ScikitTable(name="wine"),
        D.ScikitTable(3, "breast_cancer"),
    ]  # fmt: skip


def test_made_up_data_has_the_shapes_of_the_true(files, tfds_folder):
    for dataset in true_data(files, tfds_folder):
        true, fake = dataset.splits, dataset.fake()
        for name in vars(true):
            rows = np.arange(1)
            expected = arrays(vars(true)[name].batch(rows))
            assert arrays(vars(fake)[name].batch(rows)) == expected, (dataset, name)
        assert dataset.splits is true
        assert dataset.train is true.train


def numbered(first, count, channels):
    """Images of 2x2 pixels, no two alike, with labels."""
    numbers = np.arange(first, first + count)
    pixels = np.stack([numbers % 256, numbers // 256, 0 * numbers, 0 * numbers], axis=-1)
    x = np.repeat(pixels.reshape(-1, 2, 2, 1), channels, axis=-1).astype(np.uint8)
    return list(zip(x, (numbers % 10).tolist(), strict=True))


@pytest.mark.parametrize(
    ("name", "dataset", "channels"),
    [
        ("mnist", D.MNIST(labels=True), 1),
        ("fashion_mnist", D.FashionMNIST(), 1),
        ("cifar10", D.CIFAR10(), 3),
    ],
)
def test_no_image_that_tfds_prepared_is_in_two_parts(name, dataset, channels, tmp_path):
    train, test = numbered(0, 5030, channels), numbered(5030, 20, channels)
    write_images(tmp_path, name, train=train, test=test)
    splits = dataclasses.replace(dataset, dir=str(tmp_path)).splits
    seen = [{x.tobytes() for x in part.x} for part in vars(splits).values()]
    assert list(map(len, seen)) == [30, 5000, 20]
    assert len(set.union(*seen)) == 5050


def test_no_character_that_is_held_out_trains(monkeypatch):
    symbols = np.random.default_rng(0).integers(0, 65, 1_115_394)
    text = "".join(shakespeare.SYMBOLS[i] for i in symbols)
    parts = Splits(text[:1_003_854], text[1_003_854:1_059_624], text[1_059_624:])
    monkeypatch.setattr(shakespeare, "tfds_text", lambda name, folder: parts)
    unseen = D.TinyShakespeare().splits
    train, validation, test = (part.tokens for part in vars(unseen).values())
    again = np.concatenate([train[:905_500], validation, train[905_500:], test])
    np.testing.assert_array_equal(again, symbols)
    assert [len(validation), len(test)] == [60_000, 111_540]
    nanogpt = D.TinyShakespeare(split="nanogpt").splits
    np.testing.assert_array_equal(nanogpt.train.tokens, symbols[:1_003_854])
    np.testing.assert_array_equal(nanogpt.validation.tokens, test)
    np.testing.assert_array_equal(nanogpt.test.tokens, test)


def test_the_bits_of_training_images_are_drawn_anew_and_those_of_others_once(tfds_folder):
    data = D.BinarisedMNIST(dir=str(tfds_folder))
    grey = D.MNIST(dir=str(tfds_folder))
    x, rng = data.train.x, np.random.default_rng(0)
    draws = np.mean([data.transform(x, rng) for _ in range(100)], axis=0)
    np.testing.assert_array_equal(x, grey.train.x)
    np.testing.assert_allclose(draws, x / 255, atol=0.3)  # six deviations of the mean, or more
    for part in ("validation", "test"):
        bits, levels = vars(data.splits)[part].x, vars(grey.splits)[part].x
        assert set(np.unique(bits)) == {0, 1}
        assert not bits[levels == 0].any()
        assert bits[levels > 0].mean() == pytest.approx(levels[levels > 0].mean() / 255, abs=0.01)
    again = D.BinarisedMNIST(dir=str(tfds_folder))
    np.testing.assert_array_equal(again.test.x, data.test.x)


def test_half_of_the_photographs_are_mirrored():
    x = D.CIFAR10().fake().train.x
    mirrored = D.CIFAR10(mirror=True).transform(x, np.random.default_rng(0))
    same = (mirrored == x).all(axis=(1, 2, 3))
    other = (mirrored == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ other).all()
    assert 30 <= same.sum() <= 70  # of 100: the odds of others are below 1e-4
    assert D.CIFAR10().transform(x, np.random.default_rng(0)) is x


@pytest.mark.parametrize("count", [1_281_167, 1_281_148])
def test_another_imagenet_is_refused(count, monkeypatch):
    parts = Splits(range(count - 10_000), range(10_000), range(50_000))
    monkeypatch.setattr(imagenet, "tfds_stored_images", lambda *args, **options: parts)
    with pytest.raises(ValueError, match=rf"expected the 1,281,149 .*, got {count:,}; image-net"):
        _ = D.ImageNet(32).splits
    true = Splits(range(1_271_149), range(10_000), range(49_999))
    monkeypatch.setattr(imagenet, "tfds_stored_images", lambda *args, **options: true)
    assert len(D.ImageNet(64).train) == 1_271_149


def test_digests_are_whole():
    for dataset in DATASETS:
        for file in dataset.origin.files:
            assert file.size > 0
            assert len(file.sha256) in (0, 64)


def test_static_bits_have_no_labels():
    with pytest.raises(ValueError, match="labels: expected False"):
        D.StaticBinarisedMNIST(labels=True)
