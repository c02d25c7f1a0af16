"""One network under every ordering: what the order of the variables does.

python -m experiments.orderings                            all, and the page, in an hour
python -m experiments.orderings --orderings raster hilbert some
python -m experiments.orderings page                       the page again
python -m experiments.orderings digits/hilbert sample      one, as any experiment
python -m experiments.orderings --debug                    in seconds

Two data sets. *digits*: binarised MNIST, a transformer over patches of 4x4 pixels, which come in
the ordering (pixels inside a patch in the raster's). *spiral*: points of the unit square on a grid
of 128 x 128 cells, drawn from a known density; a point is 7 bits of either coordinate, an event
[significance, coordinate, 1], and a MADE learns one bit after the other. There the orders have
meanings: the raster halves the square in turns, column by column tells x before y, the reversed
raster begins with the finest bits; and all cells can be listed, so that the density after each bit
is a picture and its divergence from the truth exact.

Each model is a run under runs/orderings; the same command goes on where it stopped.
runs/orderings/README.md shows the orders, the likelihoods, and samples unfolding step by step.
"""

import dataclasses
import json
import sys
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

import ar_jax as ar
from ar_jax.conditionals import MADE, Transformer
from ar_jax.data import Arrays, Splits
from ar_jax.datasets import Dataset, Origin
from ar_jax.durable import write
from ar_jax.evaluation import Likelihood
from ar_jax.experiment.command_line import asked, dispatch, parse
from ar_jax.experiment.folder import check_writable
from ar_jax.experiment.plots import draw_dots, draw_frames, draw_orders
from ar_jax.heads import Bernoulli
from ar_jax.orderings import (
    ColumnMajor,
    Hilbert,
    MultiScale,
    Ordering,
    Permutation,
    Raster,
    Reversed,
    Snake,
    Spiral,
)
from ar_jax.training import AdamW, Muon, Training
from experiments.blocks import by_blocks
from experiments.images import BinarisedMnist
from experiments.run import Data, Experiment, Sample, carry_out, main

PROGRAM, FOLDER = "python -m experiments.orderings", Path("runs/orderings")

Make = Callable[[tuple[int, ...], tuple[int, ...]], Ordering]

ORDERINGS: dict[str, Make] = {
    "raster": Raster,
    "reversed": Reversed,
    "columns": ColumnMajor,
    "snake": Snake,
    "spiral": Spiral,
    "hilbert": Hilbert,
    "multiscale": MultiScale,
    "random": partial(Permutation.random, seed=0),
}

FRAMES = 8


@dataclasses.dataclass(frozen=True)
class SampleUnfolding(Sample):
    """Draw, and show what is known after so many steps.

    Attributes:
      rows: how many samples.
    """

    rows: int = 4


class Digits(BinarisedMnist):
    """Binarised digits, patch by patch."""

    sample: ClassVar[Sample] = SampleUnfolding()
    small_sample: ClassVar[Sample] = SampleUnfolding(rows=1)

    def draw(self, variables: Any, options: Any, path: Path) -> Path:
        ordering, path = self.model.ordering, path.with_suffix(".png")
        drawn = ar.sample(
            self.model, variables, jax.random.key(options.seed), sampler=options.sampler,
            batch_size=options.rows,
        )  # fmt: skip
        known = np.linspace(0, ordering.length, FRAMES).round().astype(int)
        steps = np.asarray(ordering.to_steps(np.asarray(drawn)), float)
        frames = np.stack([np.where(_first(steps, k), steps, np.nan) for k in known], axis=1)
        images = ordering.to_event(frames.reshape(-1, *steps.shape[1:]))
        data = self.splits.test.batch(np.arange(options.rows))["x"]
        shape = (options.rows, FRAMES, 28, 28)
        shown = np.concatenate([images.reshape(shape), data.reshape(-1, 1, 28, 28)], axis=1)
        titles = [f"{k} of {ordering.length}" for k in known]
        draw_frames(path, shown, [*titles, "data"], "gray_r")
        return path


def _first(steps: np.ndarray, k: int) -> np.ndarray:
    return np.arange(steps.shape[1])[:, None] < k


BITS = 7
SIDE = 2**BITS
CELLS = np.stack(np.divmod(np.arange(SIDE * SIDE), SIDE), axis=-1)  # [cells, 2]: row and column


def to_bits(cells: np.ndarray) -> np.ndarray:
    """`[..., 2]` coordinates -> `[..., 7, 2, 1]` bits, the coarsest first."""
    places = np.arange(BITS)[::-1]
    return (cells[..., None, :] >> places[:, None] & 1)[..., None]


def spiral() -> np.ndarray:
    """The true probabilities of the cells, two arms of Gaussian thickness: `[cells]`."""
    angle = np.linspace(0.5, 3.2 * np.pi, 400)
    arm = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * angle[:, None] / 24
    centres = np.concatenate([0.5 + arm, 0.5 - arm])
    points = (CELLS + 0.5) / SIDE
    density = np.zeros(len(points))
    for centre in centres:
        density += np.exp(-0.5 * np.sum((points - centre) ** 2, axis=-1) / 0.013**2)
    return density / density.sum()


class SpiralPoints(Dataset):
    """Points of the spiral as bits, int32 `[7, 2, 1]`."""

    @property
    def origin(self) -> Origin:
        return Origin("")

    def load(self) -> Splits[Arrays]:
        return self.drawn(50_000, 5000, 10_000)

    def fake(self) -> Splits[Arrays]:
        return self.drawn(40, 40, 40)

    def drawn(self, *sizes: int) -> Splits[Arrays]:
        """So many points of each part."""
        rng, truth = np.random.default_rng(0), spiral()
        cells = (CELLS[rng.choice(len(CELLS), size, p=truth)] for size in sizes)
        return Splits(*(Arrays(to_bits(each).astype(np.int32)) for each in cells))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plane(Experiment):
    """Learn a density on the cells of the unit square, bit by bit."""

    sample: ClassVar[Sample] = Sample()

    @cached_property
    def dataset(self) -> SpiralPoints:
        return SpiralPoints()

    def cell_log_probs(self, variables: Any) -> np.ndarray:
        """Of all cells under the model, `[cells]` nats."""
        return np.asarray(jax.jit(self.model.apply)(variables, to_bits(CELLS)), float)

    def figures(self, variables: Any) -> dict[str, Any]:
        truth, found = spiral(), self.cell_log_probs(variables)
        log_truth = np.log(np.maximum(truth, 1e-300))
        return {
            **super().figures(variables),
            "entropy": float(-np.sum(truth * log_truth)),
            "divergence": float(np.sum(truth * (log_truth - found))),
        }

    def draw(self, variables: Any, options: Any, path: Path) -> Path:
        path, steps = path.with_suffix(".png"), self.model.ordering.length
        known = np.linspace(0, steps, FRAMES).round().astype(int)
        probability = np.exp(self.cell_log_probs(variables))
        bits = np.asarray(self.model.ordering.to_steps(to_bits(CELLS)))[..., 0]
        frames = [known_density(probability, bits, k) for k in known] + [spiral()]
        # The square root, or the first frames would be as good as white.
        shown = np.sqrt([[frame.reshape(SIDE, SIDE) for frame in frames]])
        shown /= shown.max(axis=(2, 3), keepdims=True)
        draw_frames(path, shown, [*(f"{k} of {steps} bits" for k in known), "truth"], "magma")
        return path


def known_density(probability: np.ndarray, bits: np.ndarray, k: int) -> np.ndarray:
    """What is known of a cell after k bits: the mass of all that agree on them, spread evenly.

    Args:
      probability: `[cells]`.
      bits: `[cells, steps]`, in the ordering's order.
      k: how many bits.

    Returns:
      `[cells]`.
    """
    group = bits[:, :k] @ (1 << np.arange(k))
    return np.bincount(group, probability, 1 << k)[group] * 2.0 ** (k - bits.shape[1])


def models() -> dict[str, Experiment]:
    """An experiment for each data set and ordering."""
    found: dict[str, Experiment] = {}
    for name, make in ORDERINGS.items():
        net = Transformer(layers=4, width=128, heads=4, dropout=0.0)
        found[f"digits/{name}"] = Digits(
            model=by_blocks(make((28, 28, 1), (4, 4, 1)), net, Bernoulli()),
            training=Training(
                steps=1500, optimizer=Muon(learning_rate=1e-2), log_every=50, validate_every=500
            ),
            batch_size=16, folder=FOLDER / f"digits/{name}",
        )  # fmt: skip
        found[f"spiral/{name}"] = Plane(
            model=ar.AutoregressiveModel(
                make((BITS, 2, 1), (1, 1, 1)), MADE((256, 256)), Bernoulli()
            ),
            training=Training(
                steps=4000, optimizer=AdamW(learning_rate=2e-3), log_every=200, validate_every=500
            ),
            batch_size=256, folder=FOLDER / f"spiral/{name}",
        )  # fmt: skip
    return found


MODELS = models()


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Train one network under every ordering, and show what came of it.

    Attributes:
      orderings: which ones.
      data: where the digits are.
      folder: of the runs and the page.
      debug: a few steps of each.
    """

    orderings: tuple[str, ...] = tuple(ORDERINGS)
    data: Data = Data()
    folder: Path = FOLDER
    debug: bool = False

    def __post_init__(self) -> None:
        for name in self.orderings or ("none",):
            if name not in ORDERINGS:
                raise ValueError(f"orderings: expected some of {', '.join(ORDERINGS)}, got {name}")


def configure(arguments: list[str], program: str) -> Gallery:
    """What the command line asks for; `--debug` has a folder of its own."""
    debug = asked("debug", arguments)
    folder = FOLDER.with_name("orderings-debug") if debug else FOLDER
    return parse(Gallery(folder=folder), arguments, program)


def train(arguments: list[str]) -> None:
    """Trains what is not trained yet, and renders the page."""
    gallery = configure(arguments, PROGRAM)
    check_writable(gallery.folder)
    for name, experiment in MODELS.items():
        folder = gallery.folder / name
        if folder.name not in gallery.orderings or (folder / "results.json").exists():
            continue
        given = ["--folder", str(folder)] + (["--debug"] if gallery.debug else [])
        if isinstance(experiment, Digits) and gallery.data.dir:
            given += ["--data.dir", gallery.data.dir]
        if not carry_out(experiment, given, f"{PROGRAM} {name} train"):
            sys.exit(f"{PROGRAM}: {name} did not finish; the same command goes on")
    render(gallery.folder)


def page(arguments: list[str]) -> None:
    """Renders the page of the models that are trained."""
    render(configure(arguments, f"{PROGRAM} page").folder)


def render(folder: Path) -> None:
    """Writes the page of the models that are trained."""
    paths = {name: folder / name / "results.json" for name in MODELS}
    results = {n: json.loads(path.read_bytes()) for n, path in paths.items() if path.exists()}
    if not results:
        raise ValueError(f"folder: expected that of trained models, got {folder}: train first")
    names = [name for name in ORDERINGS if any(run.endswith(f"/{name}") for run in results)]
    draw_orders(
        folder / "orders.png", {name: ORDERINGS[name]((8, 8, 1), (1, 1, 1)).order for name in names}
    )
    device = {found["device"] for found in results.values()}
    parts = [
        "# One network under every ordering",
        f"`{PROGRAM}` made this page, `{PROGRAM} DATA/ORDERING` trains one model. Seed 0 each, "
        f"{', '.join(sorted(device))}; test split, exact, nats an event ± standard error "
        "(events taken as independent). The same "
        "test events throughout. One seed: what differs by little may be chance.",
        "Any order of the variables makes p(x) a product of conditionals, and any of them could be "
        "learned exactly; how easily, and what a half-drawn sample looks like, depends on it.",
        "![the orders on 8 x 8 cells, from dark to light](orders.png)",
    ]
    for kind, about in KINDS.items():
        shown = {name: results[f"{kind}/{name}"] for name in names if f"{kind}/{name}" in results}
        if shown:
            parts += section(folder, kind, about, shown)
    write(folder / "README.md", "\n\n".join(parts) + "\n")


KINDS = {
    "digits": "Binarised MNIST (one dynamic binarisation of the test split), a transformer over "
    "patches of 4 x 4 pixels, whose positions are learned for each step. Unknown pixels are blue; "
    "the last column is data.",
    "spiral": "A density on 128 x 128 cells, a point as 7 bits of each coordinate, a MADE over the "
    "14 bits. The pictures are the exact density of what is known after so many bits (its square "
    "root, as bright as can be); the last is the truth. The divergence KL(truth || model) is a sum "
    "over all cells.",
}


def section(folder: Path, kind: str, about: str, results: dict[str, Any]) -> list[str]:
    """The paragraphs on one data set."""
    draw_dots(
        folder / f"{kind}.png",
        {name: (found["nats"], found["likelihood"]["error"]) for name, found in results.items()},
        "test, nats",
    )
    exact = all("divergence" in found for found in results.values())
    rows = [
        "| ordering | test | parameters | CPU-seconds |" + (" divergence, nats |" if exact else ""),
        "|---|---|---|---|" + ("---|" if exact else ""),
    ]
    pictures = []
    for name, found in sorted(results.items(), key=lambda item: item[1]["nats"]):
        given = {k: v for k, v in found["likelihood"].items() if k != "class"}
        likelihood = Likelihood(**given)
        rows.append(
            f"| {name} | {likelihood.nats:.3f} ± {likelihood.error:.3f} | {found['parameters']:,} "
            f"| {found['training_cpu_seconds']:,.0f} |"
            + (f" {found['divergence']:.4f} |" if exact else "")
        )
        pictures += [f"### {name}", f"![{kind} in this order]({kind}/{name}/samples.png)"]
    if exact:
        rows.append(f"| the truth | {next(iter(results.values()))['entropy']:.3f} | | | 0 |")
    return [
        f"## {kind}", about, "\n".join(rows), f"![likelihoods]({kind}.png)", *pictures,
    ]  # fmt: skip


if __name__ == "__main__":
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word in MODELS:
        main(MODELS[word], __doc__ or "", word)
    else:
        dispatch(PROGRAM, {"train": train, "page": page}, "train", __doc__ or "", sys.argv[1:])
