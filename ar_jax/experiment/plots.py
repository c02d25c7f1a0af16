"""Pictures of runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ar_jax.evaluation import Reliability


def draw_images(
    path: Path, panels: Mapping[str, np.ndarray], levels: int, names: Sequence[str] = ()
) -> None:
    """Grids of images side by side, e.g. samples and data.

    Args:
      path: of the PNG.
      panels: `[rows, columns, height, width, channels]` each under its title: levels of grey, of
        which 0 is paper, or of three colours.
      levels: how many there are.
      names: of the rows.
    """
    figure = Figure(figsize=(4.5 * len(panels), 4.7), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)
    for ax, (title, images) in zip(axes[0], panels.items(), strict=True):
        rows, columns, height, width, channels = images.shape
        framed = np.pad(images / (levels - 1), ((0, 0), (0, 0), (1, 0), (1, 0), (0, 0)))
        page = framed.swapaxes(1, 2).reshape(rows * (height + 1), columns * (width + 1), channels)
        ax.imshow(page, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        ax.set_title(title)
        ax.set_xticks([])
        ax.set_yticks((np.arange(len(names)) + 0.5) * (height + 1), names)
        ax.tick_params(length=0)
        for side in ax.spines.values():
            side.set_visible(False)
    figure.savefig(path, dpi=120)


def draw_rolls(path: Path, panels: Mapping[str, np.ndarray]) -> None:
    """Piano rolls of several pieces, one below the other.

    Args:
      path: of the PNG.
      panels: `[pieces, steps, voices]` each under its title; MIDI numbers, 0 for silence.
    """
    figure = Figure(figsize=(6 * len(panels), 1.6 * len(next(iter(panels.values())))))
    figure.set_layout_engine("constrained")
    columns = list(panels.items())
    axes = figure.subplots(
        len(columns[0][1]), len(columns), squeeze=False, sharex=True, sharey=True
    )
    for column, (title, pieces) in enumerate(columns):
        axes[0, column].set_title(title)
        for ax, piece in zip(axes[:, column], pieces, strict=False):
            for voice in np.where(piece > 0, piece.astype(float), np.nan).T:
                ax.step(np.arange(len(piece)), voice, where="post", linewidth=1.5)
            ax.set_xticks(np.arange(0, len(piece) + 1, 16))
            ax.grid(axis="x", alpha=0.3)
    axes[-1, 0].set_xlabel("sixteenth notes")
    axes[-1, 0].set_ylabel("MIDI pitch")
    figure.savefig(path, dpi=120)


def draw_curves(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Bits/dim of training and validation over the steps.

    Args:
      path: of the PNG.
      records: lines of `metrics.jsonl`.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    ax = figure.subplots()
    last = []
    for name, marker, label in (
        ("train_bits_per_dim", "", "training"),
        ("validation_bits_per_dim", "o", "validation"),
    ):
        points = [(r["step"], r[name]) for r in records if name in r]
        if points:
            steps, values = zip(*points, strict=True)
            ax.plot(steps, values, marker=marker, markersize=4, label=label)
            last += values[len(values) // 5 :]  # the first steps are far above
    ax.set_xlabel("step")
    ax.set_ylabel("bits/dim")
    margin = 0.05 * (max(last) - min(last))
    ax.set_ylim(min(last) - margin, max(last) + margin)
    ax.grid(alpha=0.3)
    ax.legend()
    figure.savefig(path, dpi=120)


def draw_race(path: Path, runs: Mapping[str, Sequence[dict[str, Any]]]) -> None:
    """Bits/dim of validation over CPU-seconds, a line for each run.

    Args:
      path: of the PNG.
      runs: lines of `metrics.jsonl`, each under its name.
    """
    figure = Figure(figsize=(9, 5), layout="constrained")
    ax, last = figure.subplots(), []
    for i, (name, records) in enumerate(runs.items()):
        points = [
            (r["cpu_seconds"], r["validation_bits_per_dim"])
            for r in records
            if "validation_bits_per_dim" in r
        ]
        seconds, values = zip(*points, strict=True)
        style = ("-", "--", ":")[i // 10 % 3]
        ax.plot(seconds, values, marker="o", markersize=3, linestyle=style, label=name)
        last += values[(len(values) - 1) // 2 :]  # the first are far above
    margin = 0.1 * (max(last) - min(last)) + 1e-6
    ax.set_ylim(min(last) - margin, max(last) + margin)
    ax.set_xlabel("CPU-seconds of training")
    ax.set_ylabel("validation, bits/dim")
    ax.grid(alpha=0.3)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=120)


def draw_frames(path: Path, frames: np.ndarray, titles: Sequence[str], colours: str) -> None:
    """Rows of pictures, such as something that unfolds.

    Args:
      path: of the PNG.
      frames: `[rows, columns, height, width]`, from 0 to 1; NaN is unknown.
      titles: of the columns.
      colours: a colour map of matplotlib.
    """
    rows, columns = frames.shape[:2]
    figure = Figure(figsize=(1.3 * columns, 1.3 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    shades = colormaps[colours].with_extremes(bad="lightsteelblue")
    for row, pictures in zip(axes, frames, strict=True):
        for ax, picture in zip(row, pictures, strict=True):
            ax.imshow(picture, cmap=shades, vmin=0, vmax=1, interpolation="nearest")
            ax.set_xticks([])
            ax.set_yticks([])
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize=9)
    figure.savefig(path, dpi=120)


def draw_orders(path: Path, orders: Mapping[str, np.ndarray]) -> None:
    """Walks over the cells of a square, from dark to light.

    Args:
      path: of the PNG.
      orders: raster numbers `[cells]` in the order of visits, each under its name.
    """
    columns = min(len(orders), 4)
    rows = -(-len(orders) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(orders) :]:
        ax.set_visible(False)
    for ax, (name, order) in zip(axes, orders.items(), strict=False):
        side = round(len(order) ** 0.5)
        y, x = np.divmod(order, side)
        jumps = np.flatnonzero(abs(np.diff(x)) + abs(np.diff(y)) > 1) + 1
        ax.imshow(np.argsort(order).reshape(side, side), cmap="viridis")
        walk = [np.insert(axis.astype(float), jumps, np.nan) for axis in (x, y)]
        ax.plot(*walk, color="white", linewidth=0.8, alpha=0.7)  # lines between neighbours only
        ax.plot(x[0], y[0], "o", color="white", markersize=5)
        ax.set_title(name)
        ax.set_xticks([])
        ax.set_yticks([])
    figure.savefig(path, dpi=120)


def draw_dots(path: Path, figures: Mapping[str, tuple[float, float]], unit: str) -> None:
    """Figures with two standard errors to either side, the lowest at the top.

    Args:
      path: of the PNG.
      figures: value and standard error, each under its name.
      unit: of the values.
    """
    ordered = sorted(figures.items(), key=lambda item: -item[1][0])
    values, errors = np.array([figure for _, figure in ordered]).T
    figure = Figure(figsize=(6, 0.6 + 0.3 * len(ordered)), layout="constrained")
    ax = figure.subplots()
    ax.errorbar(values, range(len(ordered)), xerr=2 * errors, fmt="o", capsize=3)
    ax.set_yticks(range(len(ordered)), [name for name, _ in ordered])
    ax.set_xlabel(f"{unit}, ± 2 standard errors")
    ax.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def draw_reliability(path: Path, panels: Mapping[str, Mapping[str, Reliability]]) -> None:
    """Accuracy over confidence, side by side, and below it how often there is that confidence.

    Args:
      path: of the PNG.
      panels: curves, each under its name, under the titles of the panels.
    """
    figure = Figure(figsize=(4.5 * len(panels), 6), layout="constrained")
    axes = figure.subplots(
        2, len(panels), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1)
    )
    for (ax, below), (title, curves) in zip(axes.T, panels.items(), strict=True):
        ax.plot([0, 1], [0, 1], color="gray", linestyle=":", label="calibrated")
        for name, curve in curves.items():
            seen = curve.count > 0
            error = np.sqrt(curve.accuracy * (1 - curve.accuracy) / np.maximum(curve.count, 1))
            label = f"{name}, error {100 * curve.expected_calibration_error:.2f} %"
            ax.errorbar(
                curve.confidence[seen], curve.accuracy[seen], 2 * error[seen],
                marker="o", markersize=4, capsize=2, label=label,
            )  # fmt: skip
            edges = np.linspace(0, 1, len(curve.count) + 1)
            below.stairs(curve.count, edges, linewidth=1.5)
        ax.set_title(title)
        ax.set_ylim(-0.02, 1.02)
        ax.legend(loc="upper left")
        ax.grid(alpha=0.3)
        below.set_yscale("log")
        below.set_xlabel("confidence")
        below.grid(alpha=0.3)
    axes[0, 0].set_ylabel("accuracy, ± 2 standard errors")
    axes[1, 0].set_ylabel("examples")
    figure.savefig(path, dpi=120)


def draw_histograms(
    path: Path, panels: Mapping[str, Mapping[str, np.ndarray]], units: Sequence[str]
) -> None:
    """Distributions of several samples, row by row.

    Args:
      path: of the PNG.
      panels: samples `[count]`, each under its name, under the titles of the panels.
      units: of the columns.
    """
    columns = len(units)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5 * columns, 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for i, (ax, (title, samples)) in enumerate(zip(axes, panels.items(), strict=True)):
        edges = np.histogram_bin_edges(np.concatenate(list(samples.values())), 60)
        for name, values in samples.items():
            ax.hist(values, edges, density=True, alpha=0.6, label=name)
        ax.set_title(title, fontsize=10)
        ax.set_xlabel(units[i % columns])
        ax.set_yticks([])
        ax.legend()
    figure.savefig(path, dpi=120)


def draw_bars(path: Path, panels: Mapping[str, Mapping[str, float]], unit: str) -> None:
    """Figures as bars, the smallest at the top, the first of each panel marked.

    Args:
      path: of the PNG.
      panels: figures by their names, under the title of each panel.
      unit: of the figures.
    """
    rows = max(map(len, panels.values()))
    figure = Figure(figsize=(4 * len(panels), 0.9 + 0.3 * rows), layout="constrained")
    for ax, (title, figures) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        marked, ordered = next(iter(figures)), sorted(figures, key=lambda name: -figures[name])
        colours = ["C1" if name == marked else "C0" for name in ordered]
        ax.barh(ordered, [figures[name] for name in ordered], color=colours)
        ax.set_title(title)
        ax.set_xlabel(unit)
        ax.locator_params(axis="x", nbins=4)
    figure.savefig(path, dpi=120)


def draw_benchmark(
    path: Path,
    curves: Mapping[str, Sequence[tuple[float, float]]],
    figures: Mapping[str, tuple[int, float, float]],
    published: Mapping[str, float],
    unit: str,
) -> None:
    """Likelihoods of models over CPU-minutes and over parameters, beside those of others.

    Args:
      path: of the PNG.
      curves: CPU-minutes and figures of the validation split, each run's under its name.
      figures: parameters, figure of the test split and its standard error.
      published: figures of others, by the names of their models; far ones are left out.
      unit: of the figures.
    """
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    over_time, over_size = figure.subplots(1, 2, sharey=True)
    settled = [value for points in curves.values() for _, value in points[len(points) // 3 :]]
    ends = [value + 2.5 * sign * e for _, value, e in figures.values() for sign in (-1, 1)]
    span = max(*settled, *ends) - min(*settled, *ends)
    low, high = min(*settled, *ends) - span, max(*settled, *ends) + span
    near = {name: value for name, value in published.items() if low < value < high}
    shown = [*settled, *ends, *near.values()]
    margin = 0.05 * span
    over_time.set_ylim(min(shown) - margin, max(shown) + margin)
    for name, points in curves.items():
        over_time.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    for name, (parameters, value, error) in figures.items():
        over_size.errorbar(parameters, value, 2 * error, fmt="o", capsize=3, label=name)
        over_size.annotate(
            f"{parameters:,}", (parameters, value), (6, 0), textcoords="offset points", fontsize=8
        )
    for i, (name, value) in enumerate(sorted(near.items(), key=lambda item: item[1])):
        over_size.axhline(value, color="gray", linewidth=0.8, linestyle=":")
        over_size.text(
            0.01 + i % 3 / 3, value, f"{name}, published", fontsize=7, color="gray", va="bottom",
            transform=over_size.get_yaxis_transform(),
        )  # fmt: skip
    over_time.set_xlabel("CPU-minutes of training")
    over_time.set_ylabel(unit)
    over_time.set_title("validation")
    over_size.set_title("test")
    over_size.set_xlabel("parameters")
    over_size.set_xscale("log")
    sizes = [parameters for parameters, _, _ in figures.values()]
    over_size.set_xlim(min(sizes) / 5, 5 * max(sizes))  # wide enough for powers of ten
    over_size.xaxis.set_minor_formatter(NullFormatter())
    for ax in (over_time, over_size):
        ax.grid(alpha=0.3)
    over_time.legend()
    figure.savefig(path, dpi=120)
