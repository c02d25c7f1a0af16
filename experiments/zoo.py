"""Every conditional, small: three minutes of two cores each, and one page of what came of it.

python -m experiments.zoo --speech sounds/ --chorales chorales.npz     all, and the page, in hours
python -m experiments.zoo --models gru lstm                            some
python -m experiments.zoo page                                         the page again
python -m experiments.zoo gru sample --prompt "ROMEO:"                 one, as any experiment
python -m experiments.zoo --models made gru --debug                    in seconds

Images are binarised MNIST, text is Tiny Shakespeare in windows of 64 characters, sound is speech at
8 kHz in windows of a quarter of a second, music is chorales in windows of four bars. Each model is
an experiment with a folder under runs/zoo; its steps are what 360 CPU-seconds paid for when they
were counted. The same command goes on where it stopped. When all are trained, their speed is
measured one after the other, and runs/zoo/README.md shows likelihoods, speeds, curves and samples.
"""

import dataclasses
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console

import ar_jax as ar
from ar_jax import conditionals
from ar_jax.checks import check_positive
from ar_jax.conditionals import Conditional
from ar_jax.evaluation import Likelihood
from ar_jax.heads import Bernoulli, Categorical, DiscretizedLogisticMixture
from ar_jax.orderings import Raster
from ar_jax.training import AdamW, Muon, Training, read_metrics
from ar_jax.training.optimizer import Optimizer
from experiments.chorales import Chorales, chord_model
from experiments.images import BinarisedMnist, by_patches
from experiments.launch import Run, work_off
from experiments.run import Data, Experiment, dispatch, main, parse
from experiments.shakespeare_transformer import SYMBOLS, Shakespeare
from experiments.shakespeare_transformer import WINDOW as CHARACTERS
from experiments.speech import WINDOW as SAMPLES
from experiments.speech import Speech

PROGRAM = "python -m experiments.zoo"


def schedule(steps: int, optimizer: Optimizer) -> Training:
    """So many steps, with eight looks at the validation split."""
    return Training(
        steps=steps, optimizer=optimizer, log_every=max(steps // 40, 1),
        validate_every=max(steps // 8, 1),
    )  # fmt: skip


def image(
    conditional: Conditional, steps: int, optimizer: Optimizer = Muon(learning_rate=5e-3),
    batch_size: int = 16, patch: int = 1,
) -> Experiment:  # fmt: skip
    """Binarised MNIST, pixel by pixel or patch by patch."""
    model = by_patches(conditional, Bernoulli(), patch) if patch > 1 else ar.AutoregressiveModel(
        Raster((28, 28, 1)), conditional, Bernoulli()
    )  # fmt: skip
    training = schedule(steps, optimizer)
    return BinarisedMnist(model=model, training=training, batch_size=batch_size, folder=Path())


def text(
    conditional: Conditional, steps: int, optimizer: Optimizer = AdamW(learning_rate=2e-3)
) -> Experiment:
    """Tiny Shakespeare, character by character."""
    model = ar.AutoregressiveModel(
        Raster((CHARACTERS,)), conditional, Categorical(SYMBOLS, embedding=128),
        ar.contexts.Tokens(vocabulary=SYMBOLS, length=1, width=128),
    )  # fmt: skip
    training = schedule(steps, optimizer)
    return Shakespeare(model=model, training=training, batch_size=32, folder=Path())


def sound(
    conditional: Conditional, steps: int, optimizer: Optimizer = AdamW(learning_rate=2e-3)
) -> Experiment:
    """Speech, sample by sample."""
    head = DiscretizedLogisticMixture(levels=256, components=10)
    model = ar.AutoregressiveModel(Raster((SAMPLES,)), conditional, head)
    return Speech(model=model, training=schedule(steps, optimizer), batch_size=8, folder=Path())


def music(
    conditional: Conditional, steps: int, optimizer: Optimizer = AdamW(learning_rate=2e-3)
) -> Experiment:
    """Chorales, chord by chord."""
    training = schedule(steps, optimizer)
    return Chorales(model=chord_model(conditional), training=training, folder=Path())


MODELS: dict[str, Experiment] = {
    "fvsbn": image(conditionals.FVSBN(), 1000, AdamW(learning_rate=1e-3), 64),
    "nade": image(conditionals.NADE(hidden=500), 1000, patch=4),
    "made": image(conditionals.MADE(hidden=(8000,)), 2500, AdamW(learning_rate=1e-3), 128),
    "pixelcnn": image(conditionals.PixelCNN(blocks=15, channels=16), 2500),
    "gated_pixelcnn": image(
        conditionals.GatedPixelCNN(layers=6, channels=32, head_channels=32), 1000
    ),
    "row_lstm": image(
        conditionals.RowLSTM(layers=4, channels=16, head_channels=32), 1000
    ),
    "diagonal_bilstm": image(
        conditionals.DiagonalBiLSTM(layers=3, channels=16, head_channels=32), 1000
    ),
    "transformer": image(conditionals.Transformer(layers=4, width=128, heads=4), 1000, patch=4),
    "image_gpt": image(conditionals.ImageGPT(layers=4, width=128, heads=4), 1000, patch=4),
    "image_transformer": image(
        conditionals.ImageTransformer(layers=4, width=128, heads=4, query=(7,), memory=(14,), dropout=0.0),
        1000, patch=4,
    ),
    "sparse_transformer": image(
        conditionals.SparseTransformer(layers=4, width=128, heads=4, query_width=0, dropout=0.0), 1000, patch=4
    ),
    "wavenet": sound(
        conditionals.WaveNet(layers=9, stacks=2, channels=32, skip_channels=64), 500
    ),
    "s5": sound(conditionals.S5(layers=4, width=64, state=64, dropout=0.0), 500),
    "tcn": text(conditionals.TCN(layers=5, channels=128, kernel=3), 2000),
    "gru": text(conditionals.GRU(layers=2, width=256), 2000),
    "lru": text(conditionals.LRU(layers=4, width=128, state=128, dropout=0.0), 2000),
    "mamba": text(conditionals.Mamba(layers=4, width=128), 2000),
    "lstm": music(conditionals.LSTM(layers=2, width=256), 2000),
}  # fmt: skip

NOTES: dict[str, str] = {}
"""What a reader of the page should know of a model besides its figures."""


@dataclasses.dataclass(frozen=True)
class Zoo:
    """Train every conditional and show what came of it.

    Attributes:
      models: which ones.
      data: where the images and the text are.
      speech: folder of recordings, or an `.npz` (see experiments.speech).
      chorales: an `.npz` (see experiments.chorales).
      folder: of the runs and the page.
      debug: a few steps of each.
    """

    models: tuple[str, ...] = tuple(MODELS)
    data: Data = Data()
    speech: str = ""
    chorales: str = ""
    folder: Path = Path("runs/zoo")
    debug: bool = False

    def __post_init__(self) -> None:
        check_positive(models=len(self.models))
        for name in self.models:
            if name not in MODELS:
                raise ValueError(f"models: expected some of {', '.join(MODELS)}, got {name}")

    def run(self, name: str) -> Run:
        """The training of one model, in a process of its own."""
        match MODELS[name]:
            case Speech():
                given = ["--data.path", self.speech]
            case Chorales():
                given = ["--data.path", self.chorales]
            case _:
                given = ["--data.dir", self.data.dir] if self.data.dir else []
        folder = self.folder / name
        arguments = [*given, *(["--debug"] if self.debug else []), "--folder", str(folder)]
        command = [sys.executable, "-m", "experiments.zoo", name, "train", *arguments]
        return Run(shlex.join(command), arguments, folder, folder.with_suffix(".log"))


def train(arguments: list[str]) -> None:
    """Trains what is not trained yet, measures how fast all are, and renders the page."""
    zoo = parse(Zoo(), arguments, PROGRAM)
    for name in zoo.models:
        for kind, given in ((Speech, "speech"), (Chorales, "chorales")):
            if isinstance(MODELS[name], kind) and not getattr(zoo, given):
                raise ValueError(f"{given}: expected where the data is, for {name}, got none")
    runs = {name: zoo.run(name) for name in zoo.models}
    work_off([run for run in runs.values() if not run.results], [""])
    finished = [name for name, run in runs.items() if run.results]
    if finished:
        repeats = ["--repeats", "1" if zoo.debug else "5"]
        command = [sys.executable, "-m", "experiments.benchmarks.speed", "--no-count", *repeats]
        command += ["--json", str(zoo.folder / "speed.json")]
        subprocess.run([*command, "--models", *(f"zoo/{name}" for name in finished)], check=True)
    page(arguments)


def page(arguments: list[str]) -> None:
    """Renders the page of the models that are trained."""
    zoo = parse(Zoo(), arguments, f"{PROGRAM} page")
    results = {
        name: json.loads(path.read_text())
        for name in MODELS
        if (path := zoo.folder / name / "results.json").exists()
    }
    if not results:
        raise ValueError(f"folder: expected that of trained models, got {zoo.folder}: train first")
    speeds = json.loads((zoo.folder / "speed.json").read_text())
    parts = [
        "# The zoo",
        "Every conditional, small, trained for as many steps as 360 CPU-seconds paid for when they "
        f"were counted. `{PROGRAM}` made this page, `{PROGRAM} NAME` trains one model. Seed 0, "
        f"{speeds['device']}. Trained and drawn per second: wall time, medians of "
        f"`{speeds['command']}`.",
    ]
    for kind, title in KINDS.items():
        names = [name for name in results if isinstance(MODELS[name], kind)]
        if names:
            parts += section(zoo.folder, title, {n: results[n] for n in names}, speeds["models"])
    path = zoo.folder / "README.md"
    path.write_text("\n\n".join(parts) + "\n")
    Console().print(f"Wrote {path}", highlight=False)


KINDS = {BinarisedMnist: "Images", Shakespeare: "Texts", Speech: "Sounds", Chorales: "Music"}


def section(
    folder: Path, title: str, results: Mapping[str, dict[str, Any]], speeds: Mapping[str, Any]
) -> list[str]:
    """The paragraphs on one kind of data: a table, the curves, the samples of each model."""
    rows = [
        "| model | parameters | CPU-seconds | trained/s | drawn/s | test |",
        "|---|---|---|---|---|---|",
    ]
    samples = []
    for name, found in sorted(results.items(), key=lambda item: item[1]["nats"]):
        experiment, speed = MODELS[name], speeds[f"zoo/{name}"]
        trained = 1e3 * experiment.batch_size / speed["step_ms"]
        rows.append(
            f"| [{name}](#{name}) | {found['parameters']:,} | {found['training_cpu_seconds']:,.0f} "
            f"| {trained:,.3g} | {speed['drawn_per_s']:,.3g} | {figure(found['likelihood'])} |"
        )
        conditional = experiment.model.conditional
        samples += [f"### {name}", f"`{described(conditional)}`", *[NOTES[name]] * (name in NOTES)]
        drawn = next((folder / name).glob("samples.*"))
        if drawn.suffix == ".txt":
            lines = drawn.read_text().strip().split("\n")
            samples.append("\n".join(["```", *lines[:12], "```"]))
        else:
            mark = "!" if drawn.suffix == ".png" else ""
            samples.append(f"{mark}[samples of {name}]({name}/{drawn.name})")
    (score,) = {(r["likelihood"]["split"], r["likelihood"]["kind"]) for r in results.values()}
    draw_curves(folder / f"{title.lower()}.png", {n: folder / n / "metrics.jsonl" for n in results})
    return [
        f"## {title}", f"Test split: {', '.join(score)}, in nats an event and in bits/dim.",
        "\n".join(rows), f"![validation over CPU-seconds]({title.lower()}.png)", *samples,
    ]  # fmt: skip


def figure(likelihood: Mapping[str, Any]) -> str:
    """Nats with their error, and bits/dim."""
    told = Likelihood(**{name: value for name, value in likelihood.items() if name != "class"})
    return f"{told.nats:,.2f} ± {told.error:.2f} nats, {told.bits_per_dim:.3f} bits/dim"


def described(module: Any) -> str:
    """The module as it is written, with what is not its default."""
    given = []
    for field in dataclasses.fields(module):
        if field.init and field.name not in ("parent", "name"):
            value, default = getattr(module, field.name), field.default
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            if value != default:
                text = described(value) if dataclasses.is_dataclass(value) else repr(value)
                given.append(f"{field.name}={text}")
    return f"{type(module).__name__}({', '.join(given)})"


def draw_curves(path: Path, runs: Mapping[str, Path]) -> None:
    """Bits/dim of validation over CPU-seconds, a line for each run's metrics."""
    plot = Figure(figsize=(9, 5), layout="constrained")
    ax = plot.subplots()
    ends = []
    for i, (name, metrics) in enumerate(runs.items()):
        records = [r for r in read_metrics(metrics) if "validation_bits_per_dim" in r]
        values = [r["validation_bits_per_dim"] for r in records]
        seconds = [r["cpu_seconds"] for r in records]
        ax.plot(seconds, values, "o-", ms=3, ls=("-", "--")[i // 10 % 2], label=name)
        ends += values[len(values) // 2 :]
    margin = 0.1 * (max(ends) - min(ends)) + 1e-6
    ax.set_ylim(min(ends) - margin, max(ends) + 2 * margin)
    ax.set_xlabel("CPU-seconds of training")
    ax.set_ylabel("validation, bits/dim")
    ax.grid(alpha=0.3)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    plot.savefig(path, dpi=120)


if __name__ == "__main__":
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word in MODELS:
        main(MODELS[word], __doc__ or "", word)
    else:
        dispatch(PROGRAM, {"train": train, "page": page}, "train", __doc__ or "", sys.argv[1:])
