"""Learning curves beside plain PyTorch: the same networks, weights, batches and optimizer.

python -m experiments.benchmarks.learning_curves                       all three, and the picture
python -m experiments.benchmarks.learning_curves --models made         one
python -m experiments.benchmarks.learning_curves --debug               a few steps of each

MADE 1x8000, NADE 500 and PixelCNN 15x16 learn dynamically binarised MNIST by Adam. PyTorch starts
from our initial weights and sees our batches: what differs is rounding, which training amplifies.
Writes a JSON for each model, curves.png and README.md. Needs torch (pip install -e '.[interop]')
and MNIST as TFDS prepared it.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import flax
import jax
import numpy as np
import torch
from matplotlib.figure import Figure
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional

from ar_jax.checks import check_positive
from ar_jax.conditionals import MADE, NADE, PixelCNN
from ar_jax.configuration import describe
from ar_jax.data import Arrays, EvaluationBatches, binarise, training_batches
from ar_jax.datasets import BinarisedMNIST
from ar_jax.durable import write
from ar_jax.evaluation import evaluate
from ar_jax.experiment.command_line import asked, dispatch, parse
from ar_jax.experiment.folder import check_writable
from ar_jax.training import Adam, Constant, data_parallel, init_state, make_train_step
from experiments.recipes.binarised_mnist import pixels
from experiments.run import Data

PROGRAM = "python -m experiments.benchmarks.learning_curves"
PIXELS, SIDE, RATE = 784, 28, 1e-3
SCORED = 200  # images at once

Name = Literal["made", "nade", "pixelcnn"]
Batch = Mapping[str, np.ndarray]
Learner = tuple[Callable[[Batch], float], Callable[[Arrays], float]]
"""Takes a batch and learns from it; scores images. Both give nats an image."""

OURS = {
    "made": MADE(hidden=(8000,)),
    "nade": NADE(hidden=500),
    "pixelcnn": PixelCNN(blocks=15, channels=16),
}


class TorchMade(nn.Module):
    """Two masked layers, and the inputs once more beside the hidden units."""

    def __init__(self, ours: Mapping[str, Any]) -> None:
        super().__init__()
        self.hidden, self.out = dense(ours, "hidden_0"), dense(ours, "readout")
        units, place = self.hidden.out_features, torch.arange(PIXELS)
        each = -(-units // PIXELS)
        degree = torch.arange(units) // each * PIXELS // -(-units // each)
        self.seen = (place[None] < degree[:, None]).float()
        sees_units = (degree[None] <= place[:, None]).float()
        self.seen_by_out = torch.cat([sees_units, (place[None] < place[:, None]).float()], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        units = functional.linear(x, self.hidden.weight * self.seen, self.hidden.bias).relu()
        weight = self.out.weight * self.seen_by_out
        return functional.linear(torch.cat([units, x], dim=1), weight, self.out.bias)


class TorchNade(nn.Module):
    """A hidden layer for each pixel, from the sum of what came before."""

    def __init__(self, ours: Mapping[str, Any]) -> None:
        super().__init__()
        self.inward, self.bias = parameter(ours["kernel"][:, 0]), parameter(ours["hidden_bias"])
        self.outward = parameter(ours["readout_kernel"][..., 0])
        self.out_bias = parameter(ours["readout_bias"][:, 0])

    def forward(self, x: Tensor) -> Tensor:
        total, out = self.bias.expand(len(x), -1), []
        for value, inward, outward in zip(
            x.unbind(1), self.inward.unbind(), self.outward.unbind(), strict=True
        ):
            out.append(total.sigmoid() @ outward)
            total = total + value[:, None] * inward
        return torch.stack(out, dim=1) + self.out_bias


class TorchPixelCnn(nn.Module):
    """A masked 7x7 convolution, residual blocks around masked 3x3 ones, and two 1x1 layers."""

    def __init__(self, ours: Mapping[str, Any]) -> None:
        super().__init__()
        self.first = convolution(ours["first"]["dense"], kernel=7)
        blocks = [ours[f"residuals_{i}"] for i in range(OURS["pixelcnn"].blocks)]
        self.down = nn.ModuleList([convolution(block["down"], 1) for block in blocks])
        self.conv = nn.ModuleList([convolution(block["conv"]["dense"], 3) for block in blocks])
        self.up = nn.ModuleList([convolution(block["up"], 1) for block in blocks])
        self.head, self.readout = convolution(ours["head"], 1), convolution(ours["readout"], 1)

    def forward(self, x: Tensor) -> Tensor:
        x = masked(self.first, x.reshape(-1, 1, SIDE, SIDE), sees_itself=False)
        for down, conv, up in zip(self.down, self.conv, self.up, strict=True):
            x = x + up(masked(conv, down(x.relu()).relu(), sees_itself=True).relu())
        return self.readout(self.head(x.relu()).relu()).flatten(1)


def masked(conv: Any, x: Tensor, sees_itself: bool) -> Tensor:
    """The convolution with the weights of later pixels at zero."""
    side = conv.kernel_size[0]
    mask = (torch.arange(side * side) < side * side // 2 + sees_itself).float()
    weight = conv.weight * mask.reshape(side, side)
    return functional.conv2d(x, weight, conv.bias, padding=side // 2)


def parameter(ours: Any) -> nn.Parameter:
    """One of ours as one of PyTorch's."""
    return nn.Parameter(torch.tensor(np.asarray(ours)))


def dense(ours: Mapping[str, Any], name: str) -> nn.Linear:
    """A layer whose kernel is `[units, sources]`."""
    kernel = ours[f"{name}_kernel"]
    layer = nn.Linear(kernel.shape[1], kernel.shape[0])
    layer.weight, layer.bias = parameter(kernel), parameter(ours[f"{name}_bias"])
    return layer


def convolution(ours: Mapping[str, Any], kernel: int) -> nn.Conv2d:
    """A layer whose kernel is `[taps * inputs, features]`, of the taps that the mask leaves."""
    seen, features = ours["kernel"].shape
    taps = kernel * kernel // 2 + (kernel == 3) if kernel > 1 else 1
    weight = np.zeros((kernel * kernel, seen // taps, features), np.float32)
    weight[:taps] = np.asarray(ours["kernel"]).reshape(taps, -1, features)
    layer = nn.Conv2d(seen // taps, features, kernel)
    layer.weight = parameter(weight.transpose(2, 1, 0).reshape(features, -1, kernel, kernel))
    layer.bias = parameter(ours["bias"])
    return layer


THEIRS = {"made": TorchMade, "nade": TorchNade, "pixelcnn": TorchPixelCnn}


def ours(name: Name, start: Any, model: Any) -> Learner:
    """Our learner, from a state."""
    step = data_parallel(make_train_step(model, optimizer(), ema_decay=0.0))

    def learn(batch: Batch) -> float:
        nonlocal start
        start, scalars = step(start, batch)
        return PIXELS * float(scalars["loss"])

    def score(images: Arrays) -> float:
        return evaluate(model, start.variables, EvaluationBatches(images, SCORED), "").nats

    return learn, score


def theirs(name: Name, start: Any, model: Any) -> Learner:
    """PyTorch's, from the same weights."""
    network = THEIRS[name](start.params["conditional"])
    adam = torch.optim.Adam(network.parameters(), lr=RATE)

    def nats(x: np.ndarray) -> Tensor:
        bits = torch.tensor(x.reshape(len(x), PIXELS), dtype=torch.float32)
        logits = network(2 * bits - 1)
        return functional.binary_cross_entropy_with_logits(logits, bits, reduction="sum") / len(x)

    def learn(batch: Batch) -> float:
        adam.zero_grad()
        loss = nats(batch["x"])
        loss.backward()
        adam.step()
        return loss.item()

    def score(images: Arrays) -> float:
        parts = np.split(images.x, range(SCORED, len(images), SCORED))
        with torch.no_grad():
            return sum(len(x) * nats(x).item() for x in parts) / len(images)

    return learn, score


def optimizer() -> Any:
    """Adam at a constant rate, and nothing else."""
    schedule = Constant(warmup=0.0)
    return Adam(learning_rate=RATE, schedule=schedule, clip_norm=float("inf")).transformation(1)


@dataclasses.dataclass(frozen=True)
class Curves:
    """Learn with both, and draw the curves.

    Attributes:
      models: which ones.
      epochs: over the 55,000 training images.
      batch_size: images of a step.
      every: steps that a point of the curves is the mean of.
      data: where MNIST is.
      folder: gets the curves, and keeps those it has.
      debug: 100 images.
    """

    places: ClassVar[tuple[str, ...]] = ("models", "data", "folder")

    models: tuple[Name, ...] = get_args(Name)
    epochs: int = 2
    batch_size: int = 64
    every: int = 20
    data: Data = Data()
    folder: Path = Path("runs/learning_curves")
    debug: bool = False

    def __post_init__(self) -> None:
        check_positive(models=len(self.models), epochs=self.epochs, every=self.every)

    def learn(self, name: Name) -> dict[str, Any]:
        """Both curves of a model: points of training, and validation after each epoch."""
        grey = BinarisedMNIST(dir=self.data.dir).grey.map(
            lambda part: Arrays(part.x[: 100 if self.debug else None])
        )
        batches: Any = training_batches(grey.train, self.batch_size, seed=0, transform=binarise)
        held_out = grey.validation.transformed(binarise, seed=0)
        model, epoch = pixels(OURS[name]), len(grey.train) // self.batch_size
        start = init_state(model, optimizer(), 0, batches[0])
        curves = {}
        for library, learner in {"ar_jax": ours, "PyTorch": theirs}.items():
            learn, score = learner(name, start, model)
            losses, validation, began = [], [score(held_out)], time.process_time()
            for i in track(range(self.epochs * epoch), f"{name}, {library}"):
                losses.append(learn(batches[i]))
                if (i + 1) % epoch == 0:
                    validation.append(score(held_out))
            points = len(losses) // self.every * self.every
            means = np.mean(np.reshape(losses[:points], (-1, self.every)), axis=1)
            curves[library] = {
                "training": means.tolist(),
                "validation": validation,
                "cpu_seconds": time.process_time() - began,
            }
        return {
            "configuration": describe(self),
            "versions": {each.__name__: each.__version__ for each in (jax, flax, torch)},
            "steps_of_an_epoch": epoch,
            **curves,
        }


def run(arguments: list[str]) -> None:
    """Learns what is not learned yet, and draws all."""
    debug = asked("debug", arguments)
    default = Curves(folder=Path("runs/learning_curves-debug" if debug else "runs/learning_curves"))
    if debug:
        default = dataclasses.replace(default, epochs=1, every=1)
    config = parse(default, arguments, PROGRAM)
    check_writable(config.folder)
    paths = {name: config.folder / f"{name}.json" for name in OURS}
    for path in paths.values():
        if path.exists() and json.loads(path.read_bytes())["configuration"] != describe(config):
            raise ValueError(f"folder: expected one without curves of other options, got {path}")
    for name in config.models:
        if not paths[name].exists():
            write(paths[name], json.dumps(config.learn(name), indent=1) + "\n")
    found = {name: json.loads(path.read_bytes()) for name, path in paths.items() if path.exists()}
    draw(config.folder / "curves.png", found)
    write(config.folder / "README.md", report(found))
    print(f"Wrote {config.folder / 'README.md'}")


def draw(path: Path, found: Mapping[str, Mapping[str, Any]]) -> None:
    """For each model the means of training, the looks at the validation split, and the distance."""
    figure = Figure(figsize=(5 * len(found), 5), layout="constrained")
    axes = figure.subplots(2, len(found), sharex="col", squeeze=False, height_ratios=(3, 1))
    for ax, below, (name, curves) in zip(*axes, found.items(), strict=True):
        steps = curves["configuration"]["every"] * (np.arange(len(distance(curves))) + 0.5)
        for library, style in {"ar_jax": "-", "PyTorch": "--"}.items():
            training, validation = (curves[library][kind] for kind in ("training", "validation"))
            (line,) = ax.plot(steps, training, style, linewidth=1.2, label=library)
            epochs = curves["steps_of_an_epoch"] * np.arange(1, len(validation))
            ax.plot(epochs, validation[1:], "o" if style == "-" else "x", color=line.get_color())
        low = min(min(curves[library]["training"]) for library in ("ar_jax", "PyTorch"))
        ax.set_ylim(low - 3, low + 60)
        ax.set_title(name)
        ax.legend()
        below.plot(steps, distance(curves), linewidth=1.2, color="black")
        below.set_xlabel("step")
        for each in (ax, below):
            each.grid(alpha=0.3)
    axes[0, 0].set_ylabel("nats; marks: validation after an epoch")
    axes[1, 0].set_ylabel("ar_jax - PyTorch")
    figure.savefig(path, dpi=120)


def distance(curves: Mapping[str, Any]) -> np.ndarray:
    """Of our training curve from PyTorch's, nats."""
    return np.subtract(curves["ar_jax"]["training"], curves["PyTorch"]["training"])


def report(found: Mapping[str, Mapping[str, Any]]) -> str:
    """How far apart they are, in words and a table."""
    options = next(iter(found.values()))["configuration"]  # the same in all
    rows = [
        "| model | validation after each epoch, ar_jax | PyTorch "
        "| largest distance of the training curves | CPU-seconds, ar_jax | PyTorch |",
        "|---|---|---|---|---|---|",
    ]
    for name, curves in found.items():
        ours, theirs = curves["ar_jax"], curves["PyTorch"]
        apart = np.abs(distance(curves)).max()
        losses = [", ".join(f"{x:.2f}" for x in each["validation"][1:]) for each in (ours, theirs)]
        rows.append(
            f"| {name} | {losses[0]} | {losses[1]} | {apart:.3f} "
            f"| {ours['cpu_seconds']:,.0f} | {theirs['cpu_seconds']:,.0f} |"
        )
    return "\n\n".join(
        [
            "# Learning curves beside plain PyTorch",
            f"`{PROGRAM}` made this page: the same networks, initial weights, batches and Adam, on "
            f"dynamically binarised MNIST, in batches of {options['batch_size']}, seed 0. Figures "
            "are exact, in nats an image; validation is the images held out of training, and a "
            f"point of the training curves is the mean of {options['every']} steps. CPU-seconds "
            "are of the process.",
            "\n".join(rows),
            "![learning curves](curves.png)\n",
        ]
    )


if __name__ == "__main__":
    dispatch(PROGRAM, {"run": run}, "run", __doc__ or "", sys.argv[1:])
