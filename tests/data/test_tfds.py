import hashlib
import json
import os
import shutil
import sys

import numpy as np
import pytest

from ar_jax.data import Characters, tfds_images, tfds_stored_images, tfds_text
from tests.mutations import check_damaged
from tests.prepared_data import FEATURES, png, write, write_images, write_text

REAL = pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="needs prepared data sets")


def random_images(count, shape=(6, 5, 3)):
    rng = np.random.default_rng(0)
    return [(rng.integers(0, 256, shape, np.uint8), i % 10) for i in range(count)]


@pytest.mark.parametrize("channels", [1, 3])
def test_images_and_labels_are_those_that_were_written(channels, tmp_path):
    train, test = random_images(30, (6, 5, channels)), random_images(7, (6, 5, channels))
    write_images(tmp_path, "mnist", train=train, test=test)
    splits = tfds_images("mnist", str(tmp_path), validation=4)
    parts = (splits.train, splits.validation, splits.test)
    for part, written in zip(parts, (train[:26], train[26:], test), strict=True):
        assert part.x.dtype == np.uint8
        assert part.y.dtype == np.int32
        np.testing.assert_array_equal(part.x, [image for image, _ in written])
        np.testing.assert_array_equal(part.y, [label for _, label in written])


def test_images_without_labels_have_no_conditions(tmp_path):
    folder = write_images(tmp_path, "mnist", train=random_images(3), test=random_images(3))
    top = json.loads((folder / "features.json").read_bytes())
    del top["featuresDict"]["features"]["label"]
    (folder / "features.json").write_text(json.dumps(top), encoding="utf-8")
    splits = tfds_images("mnist", str(tmp_path), validation=1)
    assert all(part.y is None for part in vars(splits).values())


def test_a_text_is_the_one_that_was_written(tmp_path):
    texts = {"train": "Être,\nou", "validation": " ne pas", "test": " être?"}
    features = {
        "text": {
            "pythonClassName": "tensorflow_datasets.core.features.text_feature.Text",
            "text": {},
        }
    }
    records = {split: [{"text": text.encode()}] for split, text in texts.items()}
    write(tmp_path / "play" / "1.0.0", features, records)
    splits = tfds_text("play", str(tmp_path))
    assert vars(splits) == texts


def test_the_folder_is_that_of_tfds_where_none_is_given(tmp_path, monkeypatch):
    write_text(tmp_path / "named", "play", train=100, validation=90, test=80)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "named"))
    assert len(tfds_text("play").train) == 100
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "named").rename(tmp_path / "tensorflow_datasets")
    assert len(tfds_text("play").test) == 80


def test_a_version_can_be_named_and_must_be_where_there_are_several(tmp_path):
    first = write_images(tmp_path, "mnist", train=random_images(5), test=random_images(2))
    shutil.copytree(first, first.parent / "4.0.0")
    assert len(tfds_images("mnist:3.0.1", str(tmp_path), validation=1).train) == 4
    message = r"expected one prepared version, got mnist/3.0.1, mnist/4.0.0; name one of them"
    with pytest.raises(ValueError, match=message):
        tfds_images("mnist", str(tmp_path))


@pytest.mark.parametrize("name", ["mnist", "no_such_data", "tiny_shakespeare", "mnist:9.9.9"])
def test_absent_data_is_said_to_be_in_one_line_with_how_to_get_it(name, tmp_path, monkeypatch):
    monkeypatch.setattr("socket.socket", None)  # without asking any server
    (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
    message = f"{name}: expected a prepared data set in {tmp_path}, got none; name the folder"
    for read in (tfds_images, tfds_text):
        with pytest.raises(FileNotFoundError, match=message) as error:
            read(name, str(tmp_path))
        assert "\n" not in str(error.value)
        assert f"tfds.builder('{name}', data_dir='{tmp_path}'" in str(error.value)


def test_a_data_set_may_bring_its_own_validation_split(tmp_path):
    parts = {"train": random_images(5), "validation": random_images(3), "test": random_images(2)}
    write_images(tmp_path, "binarized_mnist", **parts)
    splits = tfds_images("binarized_mnist", str(tmp_path), validation=0)
    for name, expected in parts.items():
        got = getattr(splits, name).x
        np.testing.assert_array_equal(got, np.stack([image for image, _ in expected]))


def test_stored_images_are_those_that_are_read_at_once(tmp_path):
    parts = {"train": random_images(7), "validation": random_images(4)}
    write_images(tmp_path, "imagenet", **parts)
    splits = tfds_stored_images("imagenet", str(tmp_path), validation=2, test="validation")
    images = {name: np.stack([image for image, _ in part]) for name, part in parts.items()}
    for part, expected in (
        (splits.train, images["train"][:5]),
        (splits.validation, images["train"][5:]),
        (splits.test, images["validation"]),
    ):
        assert len(part) == len(expected)
        rows = np.arange(len(part))[::-1]
        np.testing.assert_array_equal(part.batch(rows)["x"], expected[rows])


@pytest.mark.parametrize("validation", [-1, 5, 9])
def test_validation_must_leave_examples_to_train(validation, tmp_path):
    write_images(tmp_path, "mnist", train=random_images(5), test=random_images(2))
    with pytest.raises(ValueError, match=rf"validation: expected 1 ... 4, .*, got {validation}"):
        tfds_images("mnist", str(tmp_path), validation=validation)


def test_an_unreadable_image_is_named_by_split_and_index(tmp_path):
    features_of = write_images(tmp_path, "whole", train=random_images(3), test=random_images(3))
    records = [{"image": png(image), "label": label} for image, label in random_images(9)]
    records[6]["image"] = records[6]["image"][:-40]
    folder = tmp_path / "mnist" / "3.0.1"
    write(folder, {}, {"train": records, "test": records[:2]})
    shutil.copy(features_of / "features.json", folder)
    message = "mnist: expected readable records, got an unreadable one at index 6 of split train"
    with pytest.raises(ValueError, match=message) as error:
        tfds_images("mnist", str(tmp_path))
    assert "\n" not in str(error.value)


def test_a_damaged_record_is_named_by_split_and_index(tmp_path):
    folder = write_images(tmp_path, "mnist", train=random_images(9), test=random_images(20))
    file = folder / "mnist-test.array_record-00000-of-00001"
    content = bytearray(file.read_bytes())
    image = png(random_images(20)[13][0])[60:90]
    content[content.index(image)] ^= 1
    file.write_bytes(content)
    message = "mnist: expected readable records, got an unreadable one at index 13 of split test"
    with pytest.raises(ValueError, match=message) as error:
        tfds_images("mnist", str(tmp_path), validation=1)
    assert "\n" not in str(error.value)


def test_a_missing_file_of_records_is_an_error_of_one_line(tmp_path):
    folder = write_images(tmp_path, "mnist", train=random_images(9), test=random_images(2))
    (folder / "mnist-train.array_record-00000-of-00001").unlink()
    message = "mnist: expected array_record files .*, got .* No such file"
    with pytest.raises(ValueError, match=message) as error:
        tfds_images("mnist", str(tmp_path), validation=1)
    assert "\n" not in str(error.value)


DICT, IMAGE = f"{FEATURES}.features_dict.FeaturesDict", f"{FEATURES}.image_feature.Image"
HOSTILE = {
    "at the top": {"pythonClassName": "hostile.Feature", "featuresDict": {"features": {}}},
    "in a dictionary": {
        "pythonClassName": DICT,
        "featuresDict": {"features": {"x": {"pythonClassName": "hostile.Feature", "text": {}}}},
    },
    "by the other spelling": {
        "python_class_name": DICT,
        "features_dict": {"features": {"x": {"python_class_name": "hostile.Feature", "text": {}}}},
    },
    "in the old form": {
        "type": DICT,
        "content": {"x": {"type": "hostile.Feature", "content": {}}},
    },
    "as JSON in JSON": {
        "pythonClassName": DICT,
        "jsonFeature": {
            "json": json.dumps({"x": {"type": "hostile.Feature", "content": {}}}),
        },
    },
    "as a message in JSON": {
        "type": DICT,
        "proto_cls": "tensorflow_datasets.FeaturesDict",
        "content": json.dumps(
            {"features": {"x": {"pythonClassName": "hostile.Feature", "text": {}}}}
        ),
    },
    "in a sequence": {
        "pythonClassName": f"{FEATURES}.sequence_feature.Sequence",
        "sequence": {"feature": {"pythonClassName": "hostile.Feature", "text": {}}},
    },
    "by a name that only begins well": {
        "pythonClassName": f"{FEATURES}.hostile.../hostile",
        "featuresDict": {"features": {}},
    },
}


@pytest.mark.parametrize("features", HOSTILE.values(), ids=HOSTILE)
def test_a_description_that_names_a_class_of_its_own_runs_no_code(features, tmp_path, monkeypatch):
    (tmp_path / "hostile.py").write_text(
        "raise SystemExit('code of the data set ran')", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    folder = write_images(tmp_path, "mnist", train=random_images(3), test=random_images(3))
    (folder / "features.json").write_text(json.dumps(features), encoding="utf-8")
    with pytest.raises(ValueError, match=r"mnist: .* none of TFDS and could run code") as error:
        tfds_images("mnist", str(tmp_path), validation=1)
    assert "\n" not in str(error.value)
    assert "hostile" not in sys.modules


def test_a_class_that_is_named_twice_is_checked_twice(tmp_path):
    folder = write_images(tmp_path, "mnist", train=random_images(3), test=random_images(3))
    text = (folder / "features.json").read_text(encoding="utf-8").strip()
    (folder / "features.json").write_text(
        '{"pythonClassName": "hostile.Feature", ' + text[1:], encoding="utf-8"
    )
    with pytest.raises(ValueError, match="could run code"):
        tfds_images("mnist", str(tmp_path), validation=1)


def test_the_module_that_a_description_names_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "hostile.py").write_text(
        "raise SystemExit('code of the data set ran')", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    change_info(
        write_images(tmp_path, "mnist", train=random_images(3), test=random_images(3)),
        lambda info: info | {"moduleName": "hostile"},
    )
    assert len(tfds_images("mnist", str(tmp_path), validation=1).train) == 2
    assert "hostile" not in sys.modules


def change_info(folder, change):
    path = folder / "dataset_info.json"
    info = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(change(info)), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filepathTemplate": "../{DATASET}-{SPLIT}"}, "which lies elsewhere"),
        ({"filepathTemplate": "/etc/{DATASET}-{SPLIT}"}, "which lies elsewhere"),
        ({"filepathTemplate": "{SPLIT:>99999999999}"}, "a template .* of files"),
        ({"filepathTemplate": "{SPLIT.__class__}"}, "a template .* of files"),
        ({"shardLengths": ["4"]}, "3 records in .*, which should hold 4"),
        ({"shardLengths": [str(2**62)]}, "3 records in .*, which should hold 4,611,686"),
        ({"shardLengths": ["-3"]}, "which should hold -3"),
        ({"shardLengths": ["1"] * 3}, "got .* No such file"),
    ],
)
def test_files_that_lie_elsewhere_or_hold_less_than_claimed_are_refused(change, message, tmp_path):
    change_info(
        write_images(tmp_path, "mnist", train=random_images(3), test=random_images(3)),
        lambda info: info | {"splits": [split | change for split in info["splits"]]},
    )
    with pytest.raises(ValueError, match=f"mnist: expected array_record files in .*{message}"):
        tfds_images("mnist", str(tmp_path), validation=1)


@pytest.mark.parametrize("name", ["../mnist", "a/../../mnist"])
def test_a_name_that_leads_elsewhere_is_refused(name, tmp_path):
    change_info(
        write_images(tmp_path, "mnist", train=random_images(3), test=random_images(3)),
        lambda info: info | {"name": name},
    )
    with pytest.raises(ValueError, match="mnist: expected array_record files in"):
        tfds_images("mnist", str(tmp_path), validation=1)


def test_a_description_of_many_megabytes_is_refused_unread(tmp_path):
    folder = write_images(tmp_path, "mnist", train=random_images(3), test=random_images(3))
    with (folder / "features.json").open("ab") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(ValueError, match=r"features.json of 16,777,217 bytes, more than"):
        tfds_images("mnist", str(tmp_path), validation=1)


def test_images_of_more_than_8_bits_are_refused(tmp_path):
    features = {
        "image": {
            "pythonClassName": f"{FEATURES}.tensor_feature.Tensor",
            "tensor": {"shape": {"dimensions": ["1"] * 3}, "dtype": "int64"},
        }
    }
    parts = {"train": [{"image": 7}] * 3, "test": [{"image": 7}]}
    write(tmp_path / "wide" / "1.0.0", features, parts)
    message = r"expected images of 8 bits, got int64 of shape \[1, 1, 1\]"
    with pytest.raises(ValueError, match=message):
        tfds_images("wide", str(tmp_path), validation=1)
    stored = tfds_stored_images("wide", str(tmp_path), validation=1, test="test")
    with pytest.raises(ValueError, match=message):
        stored.train.batch(np.arange(2))


def test_a_text_that_is_not_utf_8_is_refused_by_its_name(tmp_path):
    features = {"text": {"pythonClassName": f"{FEATURES}.text_feature.Text", "text": {}}}
    parts = {split: [{"text": b"\xff"}] for split in ("train", "validation", "test")}
    write(tmp_path / "play" / "1.0.0", features, parts)
    with pytest.raises(ValueError, match="play: expected a text in UTF-8, got invalid start byte"):
        tfds_text("play", str(tmp_path))


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
def test_a_damaged_description_gives_the_data_set_or_a_value_error(name, tmp_path):
    folder = write_images(tmp_path, "mnist", train=random_images(3), test=random_images(3))
    named = "mnist: expected"

    def read(path):
        try:
            return tfds_images("mnist", str(tmp_path), validation=1)
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}" if named in str(error) else error) from error

    check_damaged(read, folder / name, lambda splits: splits.test.x.dtype == np.uint8)


def test_an_image_of_another_shape_is_named_by_split_and_index(tmp_path):
    folder = write_images(tmp_path, "mnist", train=random_images(3), test=random_images(3))
    features = (
        (folder / "features.json").read_text(encoding="utf-8").replace('"6"', '"-1"')
    )  # any height
    records = [{"image": png(image), "label": 0} for image, _ in random_images(4)]
    records[2]["image"] = png(np.zeros((9, 5, 3), np.uint8))
    shutil.rmtree(folder)
    write(folder, {}, {"train": records, "test": records[:1]})
    (folder / "features.json").write_text(features, encoding="utf-8")
    message = r"mnist train 2: expected shape \[6, 5, 3\], as mnist train 0, got \[9, 5, 3\]"
    with pytest.raises(ValueError, match=message):
        tfds_images("mnist", str(tmp_path), validation=1)


def test_files_that_only_tensorflow_reads_are_refused(tmp_path):
    folder = write_images(tmp_path, "mnist", train=random_images(3), test=random_images(3))
    info = (
        (folder / "dataset_info.json")
        .read_text(encoding="utf-8")
        .replace("array_record", "tfrecord")
    )
    (folder / "dataset_info.json").write_text(info, encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"expected array_record files in .*; delete that"
    ) as error:
        tfds_images("mnist", str(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
def test_a_damaged_description_is_an_error_of_one_line(name, tmp_path):
    folder = write_images(tmp_path, "mnist", train=random_images(3), test=random_images(3))
    (folder / name).write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="mnist: expected array_record files in") as error:
        tfds_images("mnist", str(tmp_path))
    assert "\n" not in str(error.value)


def test_data_of_another_kind_is_refused(tmp_path):
    write_images(tmp_path, "mnist", train=random_images(3), test=random_images(3))
    write_images(tmp_path, "train_only", train=random_images(3))
    write_text(tmp_path, "play", train=100, validation=100, test=100)
    with pytest.raises(ValueError, match="play: expected a feature image, got text"):
        tfds_images("play", str(tmp_path))
    with pytest.raises(ValueError, match=r"mnist: expected examples .*, got none in validation"):
        tfds_text("mnist", str(tmp_path))
    with pytest.raises(ValueError, match=r"train_only: expected examples .*, got none in test"):
        tfds_images("train_only", str(tmp_path))


def test_an_empty_split_is_refused_by_its_name(tmp_path):
    folder = write_images(tmp_path, "mnist", train=random_images(3), test=random_images(3))
    info = (folder / "dataset_info.json").read_text(encoding="utf-8")
    (folder / "dataset_info.json").write_text(info.replace('["3"]', '["0"]', 1), encoding="utf-8")
    with pytest.raises(ValueError, match=r"mnist: expected examples .*, got none in train"):
        tfds_images("mnist", str(tmp_path))


def test_reading_says_nothing_and_needs_no_tensorflow(tmp_path, capfd):
    write_images(tmp_path, "mnist", train=random_images(3), test=random_images(3))
    tfds_images("mnist", str(tmp_path), validation=1)
    assert "".join(capfd.readouterr()) == ""
    assert "tensorflow" not in sys.modules


def test_the_small_data_sets_of_other_tests_look_like_the_true_ones(tfds_folder):
    for name in ("mnist", "fashion_mnist"):
        splits = tfds_images(name, str(tfds_folder))
        assert [len(part) for part in vars(splits).values()] == [180, 5000, 200]
        assert splits.train.x.shape[1:] == (28, 28, 1)
        assert set(splits.train.y) == set(range(10))
    text = tfds_text("tiny_shakespeare", str(tfds_folder))
    assert all(Characters.of(part).vocabulary == 65 for part in vars(text).values())


@REAL
def test_mnist_is_the_known_one():
    splits = tfds_images("mnist")
    assert [len(part) for part in vars(splits).values()] == [55_000, 5000, 10_000]
    train = np.concatenate([splits.train.x, splits.validation.x])
    assert train.shape == (60_000, 28, 28, 1)
    # mean and standard deviation that everyone normalises with: 0.1307 and 0.3081
    assert round(train.mean() / 255, 4) == 0.1307
    assert round(train.std() / 255, 4) == 0.3081
    # how often each digit occurs in the two files of LeCun's
    counts = np.bincount(np.concatenate([splits.train.y, splits.validation.y]))
    expected = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    np.testing.assert_array_equal(counts, expected)
    expected = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    np.testing.assert_array_equal(np.bincount(splits.test.y), expected)


@REAL
def test_fashion_mnist_is_the_known_one():
    splits = tfds_images("fashion_mnist")
    train = np.concatenate([splits.train.x, splits.validation.x])
    assert train.shape == (60_000, 28, 28, 1)
    assert round(train.mean() / 255, 4) == 0.2860  # as everyone normalises
    assert round(train.std() / 255, 4) == 0.3530
    labels = np.concatenate([splits.train.y, splits.validation.y])
    np.testing.assert_array_equal(np.bincount(labels), [6000] * 10)
    np.testing.assert_array_equal(np.bincount(splits.test.y), [1000] * 10)


@REAL
def test_tiny_shakespeare_is_the_known_one():
    text = tfds_text("tiny_shakespeare")
    whole = text.train + text.validation + text.test
    assert len(whole) == 1_115_394
    assert Characters.of(whole).vocabulary == 65
    assert whole.startswith("First Citizen:\nBefore we proceed any further, hear me speak.")
    # nanoGPT's split: 1,003,854 to train and 111,540 to validate
    assert (len(text.train), len(text.validation + text.test)) == (1_003_854, 111_540)
    digest = hashlib.sha256(whole.encode()).hexdigest()
    assert digest == "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
