"""Pictures of runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np


def draw_classes(
    path: Path, samples: np.ndarray, data: np.ndarray, levels: int, names: Sequence[str]
) -> None:
    """Samples beside data, a class in each row.

    Args:
      path: of the PNG.
      samples: `[classes, columns, height, width, 1]`, grey levels, 0 is paper.
      data: like samples.
      levels: how many grey levels there are.
      names: of the classes.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.7), layout="constrained")
    for ax, images, title in zip(axes, (samples, data), ("samples", "data"), strict=True):
        classes, columns, height, width = images.shape[:4]
        framed = np.pad(images[..., 0], ((0, 0), (0, 0), (1, 0), (1, 0)))
        page = framed.transpose(0, 2, 1, 3).reshape(classes * (height + 1), columns * (width + 1))
        ax.imshow(page, cmap="gray_r", vmin=0, vmax=levels - 1, interpolation="nearest")
        ax.set_title(title)
        ax.set_xticks([])
        ax.set_yticks((np.arange(classes) + 0.5) * (height + 1), names)
        ax.tick_params(length=0)
        for side in ax.spines.values():
            side.set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_curves(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Bits/dim of training and validation over the steps.

    Args:
      path: of the PNG.
      records: lines of `metrics.jsonl`.
    """
    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, marker, label in (
        ("train_bits_per_dim", "", "training, with dropout"),
        ("validation_bits_per_dim", "o", "validation, averaged parameters"),
    ):
        points = [(r["step"], r[name]) for r in records if name in r]
        ax.plot(*zip(*points, strict=True), marker=marker, label=label)
    ax.set_xlabel("step")
    ax.set_ylabel("bits/dim")
    validation = [r["validation_bits_per_dim"] for r in records if "validation_bits_per_dim" in r]
    ax.set_ylim(min(validation) - 0.4, min(validation) + 1.2)  # the first steps are far above
    ax.grid(alpha=0.3)
    ax.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
