"""Small data sets in the layout in which TFDS prepares them, so that tests need no download."""

import io
import json
from pathlib import Path

import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image
from tensorflow_datasets.proto import tf_example_pb2

from ar_jax.datasets import Digits

FEATURES = "tensorflow_datasets.core.features"
SHAKESPEARE = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def write_prepared(folder: Path) -> None:
    """mnist, fashion_mnist and tiny_shakespeare, of the true shapes and symbols but small."""
    small = Digits(labels=True)
    large = [  # 8 x 8 in levels 0 ... 16 to 28 x 28 in 0 ... 240
        np.pad(np.kron(x[..., 0] * 15, np.ones((3, 3))), 2).astype(np.uint8)[..., None]
        for x in small.test.x[:200]
    ]
    images = list(zip(large, small.test.y[:200].tolist(), strict=True))
    for name in ("mnist", "fashion_mnist"):  # 5000 are for validation
        write_images(folder, name, train=(images * 26)[:5180], test=images)
    write_text(folder, "tiny_shakespeare", train=8000, validation=1000, test=1000)


def write_images(folder: Path, name: str, **splits: list[tuple[np.ndarray, int]]) -> Path:
    """Labelled images, uint8 `[height, width, channels]`; returns the folder of the data set."""
    height, width, channels = next(iter(splits.values()))[0][0].shape
    shape = {"dimensions": [str(height), str(width), str(channels)]}
    features = {
        "image": {
            "pythonClassName": f"{FEATURES}.image_feature.Image",
            "image": {"dtype": "uint8", "shape": shape},
        },
        "label": {
            "pythonClassName": f"{FEATURES}.class_label_feature.ClassLabel",
            "classLabel": {"numClasses": "10"},
        },
    }
    records = {
        split: [{"image": png(image), "label": label} for image, label in examples]
        for split, examples in splits.items()
    }
    return write(folder / name / "3.0.1", features, records)


def write_text(folder: Path, name: str, **lengths: int) -> Path:
    """Nonsense in Shakespeare's 65 characters, all of them in each split."""
    rng = np.random.default_rng(0)
    texts = {
        split: SHAKESPEARE + "".join(rng.choice(list(SHAKESPEARE), length - len(SHAKESPEARE)))
        for split, length in lengths.items()
    }
    features = {"text": {"pythonClassName": f"{FEATURES}.text_feature.Text", "text": {}}}
    records = {split: [{"text": text.encode()}] for split, text in texts.items()}
    return write(folder / name / "1.0.0", features, records)


def write(folder: Path, features: dict, splits: dict[str, list[dict[str, bytes | int]]]) -> Path:
    """Records of bytes and integers as array_record files, with what describes them."""
    folder.mkdir(parents=True)
    name, version = folder.parent.name, folder.name
    for split, records in splits.items():
        file = folder / f"{name}-{split}.array_record-00000-of-00001"
        writer = ArrayRecordWriter(str(file), "group_size:1")
        for record in records:
            writer.write(example(record))
        writer.close()
    info = {
        "name": name,
        "version": version,
        "fileFormat": "array_record",
        "splits": [
            {
                "name": split,
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                "shardLengths": [str(len(records))],
                "numBytes": "1",
            }
            for split, records in splits.items()
        ],
    }
    top = {
        "pythonClassName": f"{FEATURES}.features_dict.FeaturesDict",
        "featuresDict": {"features": features},
    }
    (folder / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    (folder / "features.json").write_text(json.dumps(top), encoding="utf-8")
    return folder


def example(record: dict[str, bytes | int]) -> bytes:
    """A tf.train.Example."""
    message = tf_example_pb2.Example()
    for key, value in record.items():
        feature = message.features.feature[key]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        else:
            feature.int64_list.value.append(value)
    return message.SerializeToString()


def png(image: np.ndarray) -> bytes:
    """An image file of uint8 `[height, width, channels]`, channels 1 or 3."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG")
    return file.getvalue()
