"""What experiments on images share."""

import dataclasses
import io
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import numpy as np
from PIL import Image

import ar_jax as ar
from ar_jax.data import Arrays, grey_levels, read_image, read_npy
from ar_jax.datasets import MNIST, BinarisedMNIST, Images
from ar_jax.experiment.command_line import asked
from ar_jax.experiment.plots import draw_images
from ar_jax.training import Muon, Training
from experiments.blocks import by_blocks
from experiments.run import Data, Experiment, Sample

CLASSES = 10


@dataclasses.dataclass(frozen=True)
class SampleImages(Sample):
    """Draw images, or complete some.

    Attributes:
      columns: images in each of ten rows.
      known: share of the steps that are given, in the model's order; the rest is completed.
      image: a PNG to complete, of the data's size with ink light on dark; left out, images of the
        test split are completed.
      guidance: how far the class is exaggerated (arXiv 2207.12598), where the model knows classes;
        a panel for each of several.
    """

    columns: int = 10
    known: float = 0.0
    image: str = ""
    guidance: tuple[float, ...] = (0.0,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageExperiment(Experiment):
    """Images in grey levels, of ten classes; a model whose context is ClassLabel is told which."""

    sample: ClassVar[Sample] = SampleImages()
    small_sample: ClassVar[Sample] = SampleImages(columns=1)

    @cached_property
    @abstractmethod
    def dataset(self) -> Images:
        """What is learned from."""

    @property
    def levels(self) -> int:
        """How many levels a channel has."""
        return self.dataset.levels

    @property
    def class_labels(self) -> bool:
        """Whether the model is one of p(image | class)."""
        return isinstance(self.model.context, ar.contexts.ClassLabel)

    def draw(self, variables: Any, options: Any, path: Path) -> Path:
        data, ordering, known = self.splits.test, self.model.ordering, self._known(options)
        rows = self._rows(options.columns)
        x = data.batch(rows)["x"]
        if options.image:
            x = np.broadcast_to(self._given(Path(options.image)), x.shape)
        panels = {}
        if known:
            steps = np.array(ordering.to_steps(x), float)
            steps[:, known:] = (self.levels - 1) / 4
            panels["given"] = ordering.to_event(steps)
        for scale in options.guidance:
            title = "completed" if known else "samples"
            panels[f"{title}, guidance {scale:g}" if scale else title] = ar.sample(
                self.model, variables, jax.random.key(options.seed), sampler=options.sampler,
                batch_size=len(rows),
                condition=np.repeat(np.arange(CLASSES), options.columns)
                if self.class_labels else None,
                prefix=ordering.to_steps(x)[:, :known] if known else None,
                guidance=ar.Guidance(scale) if scale else None,
            )  # fmt: skip
        panels["data"] = x
        path = path.with_suffix(".png")
        shape = (CLASSES, options.columns, *ordering.event)
        grids = {title: np.reshape(images, shape) for title, images in panels.items()}
        draw_images(path, grids, self.levels, self.dataset.class_names if self.class_labels else ())
        return path

    def _rows(self, columns: int) -> np.ndarray:
        """The images of the test split that are shown: by class if the model knows classes."""
        data = self.splits.test
        labels = data.batch(np.arange(len(data)))["y"] if self.class_labels else None
        each = [len(data) // CLASSES] if labels is None else np.bincount(labels, minlength=CLASSES)
        if not 1 <= columns <= min(each):
            raise ValueError(
                f"columns: expected 1 ... {min(each)}, as many as the test split has for each row, "
                f"got {columns}"
            )
        if labels is None:
            return np.arange(CLASSES * columns)
        return np.concatenate([np.flatnonzero(labels == c)[:columns] for c in range(CLASSES)])

    def _known(self, options: SampleImages) -> int:
        """How many steps are given."""
        if not 0 <= options.known <= 1 or (options.image and not options.known):
            raise ValueError(
                "known: expected a share from 0 to 1, above 0 with an image to complete, "
                f"got {options.known}"
            )
        return round(options.known * self.model.ordering.length)

    def _given(self, path: Path) -> np.ndarray:
        """An image file as levels."""
        image = read_image(path)
        if image.shape != self.model.ordering.event:
            raise ValueError(
                f"image: expected shape {list(self.model.ordering.event)}, as the model's, "
                f"got {path} of {list(image.shape)}"
            )
        return grey_levels(image, self.levels)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BinarisedMnist(ImageExperiment):
    """MNIST's 28x28 pixels as bits.

    Training draws the bits anew in every epoch, with the pixels' levels as probabilities; the
    validation and the test split are drawn once, the same for every run.

    Attributes:
      data: where the data is.
      class_conditional: learn p(image | digit): the context is ClassLabel.
    """

    data: Data = Data()
    class_conditional: bool = False

    @cached_property
    def dataset(self) -> Images:
        return BinarisedMNIST(self.class_labels, self.data.dir)

    def preset(self, arguments: Sequence[str]) -> Self:
        config = super().preset(arguments)
        if not asked("class-conditional", arguments):
            return config
        model = config.model.clone(context=ar.contexts.ClassLabel(CLASSES, dropout=0.1))
        folder = config.folder.with_name(config.folder.name + "-by-class")
        return dataclasses.replace(config, model=model, folder=folder, class_conditional=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GreyImages(ImageExperiment):
    """Images of 28x28 pixels in 256 grey levels, class by class.

    Attributes:
      data: where the data is.
    """

    model: ar.AutoregressiveModel = dataclasses.field(
        default_factory=lambda: patch_transformer(
            ar.heads.DiscretizedLogisticMixture(levels=256, components=10),
            ar.contexts.ClassLabel(CLASSES, dropout=0.1),
            hidden=(512, 512),
        )
    )
    training: Training = Training(
        steps=1200, optimizer=Muon(learning_rate=3e-3), log_every=50, validate_every=200
    )
    data: Data = Data()

    def preset(self, arguments: Sequence[str]) -> Self:
        config = super().preset(arguments)
        if not config.debug:
            return config
        pixel, context = ar.heads.DiscretizedLogisticMixture(levels=256), config.model.context
        model = patch_transformer(pixel, context, hidden=(16,))
        model = model.clone(conditional=config.model.conditional)
        return dataclasses.replace(config, model=model)

    @cached_property
    def dataset(self) -> Images:
        return MNIST(self.class_labels, self.data.dir)

    def read(self, path: Path) -> np.ndarray:
        """The image of a `.png`, or those of an `.npy` `[n, *event]`, uint8."""
        if path.suffix == ".png":
            return read_image(path)[None].astype(np.int32)
        if path.suffix != ".npy":
            raise ValueError(f"files: expected .png or .npy, got {path}")
        images = read_npy(path)
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ValueError(
                f"{path}: expected uint8 [images, height, width, channels], got {images.dtype} "
                f"{list(images.shape)}"
            )
        return images.astype(np.int32)

    def written(self, values: np.ndarray, name: str) -> bytes:
        file, images = io.BytesIO(), values.astype(np.uint8)
        if name.endswith(".png") and len(images) == 1:
            Image.fromarray(images[0, ..., 0]).save(file, "PNG")
        else:
            np.save(file, images)
        return file.getvalue()

    def same(self, given: bytes, back: bytes) -> bool:
        return described(given) == described(back)


def described(content: bytes) -> tuple[Any, ...]:
    """All that the file of an image, or of an array of images, holds, however it is coded."""
    file = io.BytesIO(content)
    if content.startswith(b"\x93NUMPY"):
        array = np.load(file, allow_pickle=False)
        return array.dtype, array.shape, array.tobytes(), file.read()
    with Image.open(file) as image:
        bits_and_colours = content[24:26]
        return bits_and_colours, image.mode, image.size, image.tobytes(), chunks(content)


def chunks(png: bytes) -> set[bytes]:
    """The types of a PNG's chunks: metadata has others than pixels."""
    place, types = 8, set()
    while place < len(png):
        types.add(png[place + 4 : place + 8])
        place += 12 + int.from_bytes(png[place : place + 4])
    return types


def first(images: Arrays, count: int) -> Arrays:
    """The first ones."""
    return Arrays(**images.batch(np.arange(min(count, len(images)))))


def patch_transformer(
    pixel: ar.heads.Head,
    context: ar.contexts.Context = ar.contexts.Nothing(),
    hidden: tuple[int, ...] = (256,),
) -> ar.AutoregressiveModel:
    """Images of 28x28 pixels, patch by patch, and pixel by pixel inside a patch.

    Args:
      pixel: the head of one pixel.
      context: of the images.
      hidden: units of the layers of the model inside a patch.
    """
    model = by_blocks(
        ar.orderings.Raster((28, 28, 1), block=(4, 4, 1)),
        ar.conditionals.Transformer(layers=4, width=128, heads=4),
        pixel,
        hidden,
    )
    return model.clone(context=context)
