"""Grids of images."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ar_jax.contexts import ClassLabel
from ar_jax.data import grey_levels, read_image
from ar_jax.decoding import Guidance
from ar_jax.experiment.drawings.base import Drawing
from ar_jax.experiment.plots import draw_images
from ar_jax.inference.sampling import sample


@dataclasses.dataclass(frozen=True)
class ImageGrid(Drawing):
    """Draws images beside those of the test split, or completes some: a PNG.

    Attributes:
      columns: images in each row; a row is a class, where the model is told the class, or else one
        of ten.
      known: share of the steps that are given, in the model's order; the rest is completed.
      image: a PNG to complete, of the data's size with ink light on dark; left out, images of the
        test split are completed.
      guidance: how far the class is exaggerated (arXiv 2207.12598), where the model is told it; a
        panel for each of several.
    """

    columns: int = 10
    known: float = 0.0
    image: str = ""
    guidance: tuple[float, ...] = (0.0,)

    def __call__(self, model: Any, variables: Any, data: Any, path: Path) -> Path:
        ordering, known = model.ordering, self._known(model)
        by_class = isinstance(model.context, ClassLabel)
        rows = self._rows(data, model.context.classes if by_class else 0)
        count = model.context.classes if by_class else 10
        x = data.test.batch(rows)["x"]
        if self.image:
            x = np.broadcast_to(self._given(Path(self.image), model, data), x.shape)
        panels = {}
        if known:
            steps = np.array(ordering.to_steps(x), float)
            steps[:, known:] = (data.levels - 1) / 4
            panels["given"] = ordering.to_event(steps)
        for scale in self.guidance:
            title = "completed" if known else "samples"
            panels[f"{title}, guidance {scale:g}" if scale else title] = sample(
                model, variables, jax.random.key(self.seed), sampler=self.sampler,
                batch_size=len(rows),
                condition=np.repeat(np.arange(count), self.columns) if by_class else None,
                prefix=ordering.to_steps(x)[:, :known] if known else None,
                guidance=Guidance(scale) if scale else None,
            )  # fmt: skip
        panels["data"] = x
        path = path.with_suffix(".png")
        shape = (count, self.columns, *ordering.event)
        grids = {title: np.reshape(images, shape) for title, images in panels.items()}
        draw_images(path, grids, data.levels, data.classes if by_class else ())
        return path

    def small(self) -> Drawing:
        return dataclasses.replace(self, columns=1)

    def _rows(self, data: Any, classes: int) -> np.ndarray:
        """The images of the test split that are shown: by class if the model is told the class."""
        labels = data.test.batch(np.arange(len(data.test)))["y"] if classes else None
        each = [len(data.test) // 10] if labels is None else np.bincount(labels, minlength=classes)
        if not 1 <= self.columns <= min(each):
            raise ValueError(
                f"columns: expected 1 ... {min(each)}, as many as the test split has for each row, "
                f"got {self.columns}"
            )
        if labels is None:
            return np.arange(10 * self.columns)
        return np.concatenate([np.flatnonzero(labels == c)[: self.columns] for c in range(classes)])

    def _known(self, model: Any) -> int:
        """How many steps are given."""
        if not 0 <= self.known <= 1 or (self.image and not self.known):
            raise ValueError(
                "known: expected a share from 0 to 1, above 0 with an image to complete, "
                f"got {self.known}"
            )
        return round(self.known * model.ordering.length)

    def _given(self, path: Path, model: Any, data: Any) -> np.ndarray:
        """An image file as levels."""
        image = read_image(path)
        if image.shape != model.ordering.event:
            raise ValueError(
                f"image: expected shape {list(model.ordering.event)}, as the model's, "
                f"got {path} of {list(image.shape)}"
            )
        return grey_levels(image, data.levels)
