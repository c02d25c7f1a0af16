"""Held-out data compressed by trained models, and by the codecs that people use.

python -m experiments.compression                          all runs that there are, and the page
python -m experiments.compression --text FOLDER            of another run
python -m experiments.compression --images 100             fewer images

The runs are those of mnist_grey, fashion_transformer, text, speech_samples and proteins; one that
is not trained is left out. What their models never saw is written to files, these are compressed
and, by a process of its own, decompressed: as `python -m experiments.NAME compress` does. Each
codec gets the same values: of images the array, a PNG or WebP each (of which the bytes are summed)
and one of all images on a sheet; of sound the samples, and FLAC at its best level (by soundfile,
`pip install ar_jax[compression]`; left out without it).
"""

import bz2
import dataclasses
import gzip
import importlib.util
import io
import json
import lzma
import math
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from ar_jax.checks import check_positive
from ar_jax.datasets.proteins import stream
from ar_jax.datasets.speech import RATE, to_samples
from ar_jax.durable import write
from ar_jax.experiment.codec import laid_out, side_by_side
from ar_jax.experiment.command_line import dispatch, parse
from ar_jax.experiment.folder import arguments_of, check_writable
from ar_jax.experiment.plots import draw_bars
from ar_jax.inference.compression import read
from experiments.codec import compress_files
from experiments.fashion_transformer import FashionTransformer
from experiments.mnist_grey import MnistGrey
from experiments.proteins import Proteins
from experiments.run import Experiment, configured
from experiments.speech_samples import SpeechSamples
from experiments.text import Text

PROGRAM = "python -m experiments.compression"
OURS = "ar_jax"
Codec = Callable[[bytes], bytes]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Compress held-out data by trained models and by other codecs.

    Attributes:
      mnist: run of mnist_grey.
      fashion: run of fashion_transformer.
      text: run of text.
      speech: run of speech_samples.
      proteins: run of proteins.
      images: how many of each data set.
      characters: bytes of text.
      seconds: of speech.
      sequences: how many proteins.
      folder: gets the files and the page.
    """

    mnist: Path = Path("runs/mnist_grey")
    fashion: Path = Path("runs/fashion_transformer")
    text: Path = Path("runs/text")
    speech: Path = Path("runs/speech_samples")
    proteins: Path = Path("runs/proteins")
    images: int = 1000
    characters: int = 100_000
    seconds: float = 60.0
    sequences: int = 200
    folder: Path = Path("runs/compression")

    def __post_init__(self) -> None:
        check_positive(
            images=self.images, characters=self.characters, samples=self.samples,
            sequences=self.sequences,
        )  # fmt: skip

    @property
    def samples(self) -> int:
        """Of speech."""
        return round(self.seconds * RATE)


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """What a model never saw.

    Attributes:
      title: of it.
      experiment: of its run.
      name: of the file that it is written to.
      values: as the experiment reads them from there.
      raw: as bytes, what general codecs get.
      codecs: bytes by those made for this kind of data.
    """

    title: str
    experiment: Experiment
    name: str
    values: np.ndarray
    raw: bytes
    codecs: Mapping[str, int]


def general(raw: bytes) -> dict[str, int]:
    """Bytes by codecs that take anything, at their best levels."""
    best = 9 | lzma.PRESET_EXTREME
    return {
        "gzip -9": len(gzip.compress(raw, 9)),
        "bzip2 -9": len(bz2.compress(raw, 9)),
        "xz -9e": len(lzma.compress(raw, preset=best)),
    }


def pictures(images: np.ndarray) -> dict[str, int]:
    """Bytes of images `[n, height, width]`, uint8, as PNG and WebP, each alone and on one sheet."""
    columns = math.ceil(math.sqrt(len(images)))
    blank = np.zeros((-len(images) % columns, *images.shape[1:]), np.uint8)
    grid = np.concatenate([images, blank]).reshape(-1, columns, *images.shape[1:])
    sheet = grid.swapaxes(1, 2).reshape(-1, columns * images.shape[2])

    def size(image: np.ndarray, form: str, **options: Any) -> int:
        file = io.BytesIO()
        Image.fromarray(image).save(file, form, **options)
        return file.tell()

    png, webp = {"form": "PNG", "optimize": True}, {
        "form": "WebP", "lossless": True, "quality": 100, "method": 6,
    }  # fmt: skip
    return {
        "PNG, one each": sum(size(image, **png) for image in images),
        "PNG, one sheet": size(sheet, **png),
        "WebP, one each": sum(size(image, **webp) for image in images),
        "WebP, one sheet": size(sheet, **webp),
    }


def flac(recording: np.ndarray) -> dict[str, int]:
    """Bytes of int16 `[samples]` as FLAC; nothing without soundfile."""
    if importlib.util.find_spec("soundfile") is None:
        return {}
    import soundfile  # pyright: ignore[reportMissingImports]

    file = io.BytesIO()
    soundfile.write(
        file, recording, RATE, format="FLAC", subtype="PCM_16", compression_level=1.0
    )  # of 0 ... 1
    return {"FLAC -8": len(file.getvalue())}


def held_out(given: Comparison) -> list[HeldOut]:
    """The data of each run that there is."""
    found = []
    for title, folder, default in (
        ("MNIST", given.mnist, MnistGrey()),
        ("Fashion-MNIST", given.fashion, FashionTransformer()),
        ("text", given.text, Text()),
        ("speech", given.speech, SpeechSamples()),
        ("proteins", given.proteins, Proteins()),
    ):
        if not (folder / "results.json").exists():
            continue
        config: Any = configured(default, arguments_of(folder), program(default))
        config, codecs = dataclasses.replace(config, folder=folder), {}
        match config:
            case Text():
                values, name = config.splits.test.tokens[: given.characters], "text.txt"
                raw = values.astype(np.uint8).tobytes()
            case Proteins():
                values, name = stream(config.sequences.test[: given.sequences]), "proteins.txt"
                raw = values.astype(np.uint8).tobytes()
            case SpeechSamples():
                values, name = config.splits.test.tokens[: given.samples], "speech.wav"
                recording = to_samples(values)
                raw, codecs = recording.tobytes(), flac(recording)
            case _:
                values, name = config.splits.test.x[: given.images], "images.npy"
                raw = values.astype(np.uint8).tobytes()
                codecs = pictures(values.astype(np.uint8)[..., 0])
        found.append(HeldOut(title, config, name, values, raw, codecs))
    if not found:
        raise ValueError(f"runs: expected one that ended at least, got none; {PROGRAM} --help")
    return found


def program(experiment: Experiment) -> str:
    """How an experiment is started."""
    return f"python -m {type(experiment).__module__}"


def compared(data: HeldOut, folder: Path) -> dict[str, Any]:
    """The sizes, after what was compressed came back bit for bit in another process."""
    folder = folder / data.title
    folder.mkdir(parents=True, exist_ok=True)
    original, packed, back = folder / data.name, folder / "compressed.arj", folder / "back"
    write(original, data.experiment.written(data.values, data.name))
    variables = data.experiment.restore()
    compressed = compress_files(data.experiment, variables, [original], lambda share: None)
    write(packed, compressed)
    (back / data.name).unlink(missing_ok=True)
    subprocess.run(
        [sys.executable, "-m", type(data.experiment).__module__, "decompress", str(packed),
         "--to", str(back), "--folder", str(data.experiment.folder)], check=True,
    )  # fmt: skip
    if (back / data.name).read_bytes() != original.read_bytes():
        raise ValueError(f"{packed}: expected {original} to come back, got {back / data.name}")
    _, payload = read(compressed)
    trained = json.loads((data.experiment.folder / "results.json").read_bytes())
    return {
        "bytes": len(data.raw),
        "ours": len(compressed),
        "header": len(compressed) - len(payload),
        "likelihood_bytes": bits(data, variables) / 8,
        "trained_by": trained["command"],
        "training_cpu_seconds": trained["training_cpu_seconds"],
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(variables)),
        "codecs": general(data.raw) | dict(data.codecs),
    }


def bits(data: HeldOut, variables: Any) -> float:
    """-log2 p of the values, scored in parallel."""
    model, lengths = laid_out(data.experiment.model, variables, data.experiment, len(data.values))
    values, rows = side_by_side(data.values, lengths), 50 if lengths is None else 1

    @jax.jit
    def score(variables: Any, x: jax.Array, lengths: Any) -> Any:
        return model.apply(variables, x, None, lengths)

    nats = []
    for first in range(0, len(values), rows):
        part = slice(first, first + rows)
        nats.append(score(variables, values[part], None if lengths is None else lengths[part]))
    return -float(np.concatenate(nats).sum(dtype=float)) / math.log(2)


def compare(arguments: Sequence[str]) -> None:
    """Compresses and writes the page."""
    given = parse(Comparison(), arguments, PROGRAM)
    runs = held_out(given)
    check_writable(given.folder)
    results = {data.title: compared(data, given.folder) for data in runs}
    write(given.folder / "figures.json", json.dumps(results, indent=2) + "\n")
    sizes = {title: {OURS: found["ours"]} | found["codecs"] for title, found in results.items()}
    draw_bars(given.folder / "sizes.png", sizes, "bytes")
    write(given.folder / "README.md", page(results, given, arguments))


def page(results: Mapping[str, Any], given: Comparison, arguments: Sequence[str]) -> str:
    """The page."""
    images = f"{given.images:,} test images of 28x28 pixels in 256 levels, without a class"
    what = {
        "MNIST": images,
        "Fashion-MNIST": images,
        "text": f"The last {given.characters:,} bytes of the text",
        "speech": f"{given.seconds:g} s of held-out recordings, 8 kHz and 16 bits",
        "proteins": f"{given.sequences:,} sequences, none of them in the training data, but "
        "relatives of them",
    }
    table = [
        "| data | bytes | ar_jax | of which header | -log₂ p(x) | coding costs |",
        "|---|---|---|---|---|---|",
    ]
    sections = []
    for title, found in results.items():
        payload = found["ours"] - found["header"]
        table.append(
            f"| {title} | {found['bytes']:,} | **{found['ours']:,}** | {found['header']:,} "
            f"| {found['likelihood_bytes']:,.0f} bytes "
            f"| {100 * (payload / found['likelihood_bytes'] - 1):+.3f} % |"
        )
        rows = ["| codec | bytes | bits a byte | times ar_jax |", "|---|---|---|---|"]
        sizes = {OURS: found["ours"]} | found["codecs"]
        for name, size in sorted(sizes.items(), key=lambda item: item[1]):
            mark = "**" if name == OURS else ""
            rows.append(
                f"| {mark}{name}{mark} | {size:,} | {8 * size / found['bytes']:.3f} "
                f"| {size / found['ours']:.3f} |"
            )
        sections += [
            f"## {title}",
            f"{what[title]}. The model has {found['parameters']:,} parameters and was trained by "
            f"`{found['trained_by']}` in {found['training_cpu_seconds']:,.0f} CPU-seconds.",
            "\n".join(rows),
        ]
    parts = [
        "# Lossless compression",
        f"`{' '.join([PROGRAM, *arguments])}` made this page. All of it came back bit for bit in "
        "another process. Sizes are of files, headers included; the model, which both sides have, "
        "is not counted. -log₂ p(x) is scored in parallel, the coder's share steps through the "
        "model.",
        "![bytes by codec](sizes.png)",
        "\n".join(table),
        *sections,
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    dispatch(PROGRAM, {"compare": compare}, "compare", __doc__ or "", sys.argv[1:])
