"""Every conditional, small: three minutes of two cores each, and one page of what came of it.

python -m experiments.zoo --speech sounds/ --chorales chorales.npz     all, and the page, in hours
python -m experiments.zoo --models gru lstm                            some
python -m experiments.zoo page                                         the page again
python -m experiments.zoo gru sample --prompt "ROMEO:"                 one, as any experiment
python -m experiments.zoo --models made gru --debug                    in seconds

Images are binarised MNIST, text is Tiny Shakespeare in windows of 64 characters, sound is speech at
8 kHz in windows of a quarter of a second, music is chorales in windows of four bars. Each model is
an experiment with a folder under runs/zoo; its steps took 180 to 370 CPU-seconds, with
the looks at the validation split. The same command goes on where it stopped. When all are trained,
their speed is measured one after the other, and runs/zoo/README.md shows likelihoods, speeds,
curves and samples.
"""

import dataclasses
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import ar_jax as ar
from ar_jax import conditionals
from ar_jax.checks import check_positive
from ar_jax.conditionals import Conditional
from ar_jax.durable import write
from ar_jax.evaluation import Likelihood
from ar_jax.experiment.command_line import asked, dispatch, parse
from ar_jax.experiment.folder import check_writable
from ar_jax.experiment.plots import draw_race
from ar_jax.heads import Bernoulli, Categorical, DiscretizedLogisticMixture
from ar_jax.orderings import Raster
from ar_jax.training import AdamW, Muon, Training, read_metrics
from ar_jax.training.optimizer import Optimizer
from experiments.blocks import by_blocks
from experiments.chorales import PITCHES, VOICES, Chorales
from experiments.chorales import WINDOW as CHORDS
from experiments.images import BinarisedMnist
from experiments.launch import Run, work_off
from experiments.run import Data, Experiment, main
from experiments.shakespeare_transformer import SYMBOLS, Shakespeare, UnseenShakespeare
from experiments.shakespeare_transformer import WINDOW as CHARACTERS
from experiments.speech import WINDOW as SAMPLES
from experiments.speech import Recordings, SampleSpeech, Speech

PROGRAM = "python -m experiments.zoo"


def schedule(steps: int, optimizer: Optimizer, looks: int = 4) -> Training:
    """So many steps, with some looks at the validation split, which chooses one."""
    return Training(
        steps=steps, optimizer=optimizer, log_every=max(steps // 40, 1),
        validate_every=max(steps // looks, 1),
    )  # fmt: skip


def image(
    conditional: Conditional, steps: int, optimizer: Optimizer = Muon(learning_rate=5e-3),
    batch_size: int = 16, patch: int = 1,
) -> Experiment:  # fmt: skip
    """Binarised MNIST, pixel by pixel or patch by patch."""
    ordering = Raster((28, 28, 1), (patch, patch, 1))
    model = (
        ar.AutoregressiveModel(ordering, conditional, Bernoulli())
        if patch == 1
        else by_blocks(ordering, conditional, Bernoulli())
    )
    training = schedule(steps, optimizer)
    return BinarisedMnist(model=model, training=training, batch_size=batch_size, folder=Path())


def text(conditional: Conditional, steps: int) -> Experiment:
    """Tiny Shakespeare, character by character."""
    model = ar.AutoregressiveModel(
        Raster((CHARACTERS,)), conditional, Categorical(SYMBOLS, embedding=128),
        ar.contexts.Tokens(vocabulary=SYMBOLS, length=1, width=128),
    )  # fmt: skip
    training = schedule(steps, Muon(learning_rate=1e-2))
    return UnseenShakespeare(model=model, training=training, batch_size=32, folder=Path())


class ShortSpeech(Speech):
    """Speech, of which a second is drawn at each look."""

    sample = SampleSpeech(seconds=1.0)


def sound(conditional: Conditional, steps: int) -> Experiment:
    """Speech, sample by sample."""
    head = DiscretizedLogisticMixture(levels=256, components=10)
    model = ar.AutoregressiveModel(Raster((SAMPLES,)), conditional, head)
    training = schedule(steps, Muon(learning_rate=1e-2))
    return ShortSpeech(model=model, training=training, batch_size=8, folder=Path())


def music(conditional: Conditional, steps: int) -> Experiment:
    """Chorales, chord by chord."""
    model = by_blocks(
        Raster((CHORDS, VOICES), (1, VOICES)), conditional, Categorical(PITCHES, embedding=16)
    )
    training = schedule(steps, Muon(learning_rate=1e-2), looks=20)  # they are few, and soon learned
    return Chorales(model=model, training=training, folder=Path())


SMALL = {"layers": 4, "width": 128, "heads": 4, "dropout": 0.0}
"""A transformer that is the same size whatever it looks at."""

MODELS: dict[str, Experiment] = {
    "fvsbn": image(conditionals.FVSBN(), 20_000, AdamW(learning_rate=1e-3), 64),
    "nade": image(conditionals.NADE(hidden=500), 5000, patch=4),
    "made": image(conditionals.MADE(hidden=(8000,)), 1500, AdamW(learning_rate=1e-3), 128),
    "pixelcnn": image(conditionals.PixelCNN(blocks=15, channels=16), 1500),
    "gated_pixelcnn": image(
        conditionals.GatedPixelCNN(layers=5, channels=48, head_channels=64), 1700, patch=2
    ),
    "pixelcnn_plus_plus": image(
        conditionals.PixelCNNPlusPlus(blocks=1, channels=32, scales=2, dropout=0.0), 1100, patch=2
    ),
    "pixelsnail": image(
        conditionals.PixelSNAIL(stages=2, blocks=2, channels=48, dropout=0.0), 1500, patch=2
    ),
    "row_lstm": image(conditionals.RowLSTM(layers=4, channels=16, head_channels=32), 2200),
    "diagonal_bilstm": image(
        conditionals.DiagonalBiLSTM(layers=3, channels=32, head_channels=64), 1500, patch=2
    ),
    "transformer": image(
        conditionals.Transformer(**SMALL), 2300, Muon(learning_rate=1e-2), patch=4
    ),
    "image_gpt": image(conditionals.ImageGPT(**SMALL), 2000, Muon(learning_rate=1e-2), patch=4),
    "image_transformer": image(
        conditionals.ImageTransformer(**SMALL, query=(7,), memory=(14,)),
        1500,
        Muon(learning_rate=1e-2),
        patch=4,
    ),
    "sparse_transformer": image(
        conditionals.SparseTransformer(**SMALL, query_width=0),
        1700,
        Muon(learning_rate=1e-2),
        patch=4,
    ),
    "tcn": text(conditionals.TCN(layers=5, channels=128, kernel=3), 2300),
    "gru": text(conditionals.GRU(layers=2, width=256), 1250),
    "lru": text(conditionals.LRU(layers=4, width=128, state=128, dropout=0.0), 1700),
    "mamba": text(conditionals.Mamba(layers=3, width=96), 580),
    "wavenet": sound(conditionals.WaveNet(layers=9, stacks=2, channels=32, skip_channels=64), 420),
    "s5": sound(conditionals.S5(layers=4, width=64, state=64, dropout=0.0), 700),
    "lstm": music(conditionals.LSTM(layers=2, width=256, dropout=0.5), 700),
}

NOTES = {
    "fvsbn": "A logistic regression for each pixel, without a hidden layer. Published: 96.58 nats "
    "(pytorch-generative: 60,000 images train, one draw of the test split's bits, scored each "
    "epoch).",
    "lstm": "The run of `python -m experiments.likelihood chorales/lstm`, the same recipe.",
}
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


def configure(arguments: list[str], program: str) -> Zoo:
    """What the command line asks for; `--debug` has a folder of its own."""
    debug = asked("debug", arguments)
    return parse(Zoo(folder=Path("runs/zoo-debug" if debug else "runs/zoo")), arguments, program)


def train(arguments: list[str]) -> None:
    """Trains what is not trained yet, measures how fast all are, and renders the page."""
    zoo = configure(arguments, PROGRAM)
    for name in zoo.models:
        for kind, given in ((Speech, "speech"), (Chorales, "chorales")):
            if isinstance(MODELS[name], kind) and not getattr(zoo, given):
                raise ValueError(f"{given}: expected where the data is, for {name}, got none")
    check_writable(zoo.folder)
    runs = {name: zoo.run(name) for name in zoo.models}
    work_off([run for run in runs.values() if not run.results], [""])
    if unfinished := [name for name, run in runs.items() if not run.results]:
        sys.exit(f"{PROGRAM}: {', '.join(unfinished)} did not finish; the same command goes on")
    command = [sys.executable, "-m", "experiments.benchmarks.speed", "--no-count"]
    command += ["--repeats", "1" if zoo.debug else "5", "--json", str(zoo.folder / "speed.json")]
    models = [f"zoo/{name}" for name in finished(zoo.folder)]
    if subprocess.run([*command, "--models", *models]).returncode:
        sys.exit(f"{PROGRAM}: the speed was not measured; the same command goes on")
    write_data(zoo)
    render(zoo.folder)


def write_data(zoo: Zoo) -> None:
    """Writes eight windows of the test split of texts and of sounds, whose samples show no data."""
    for kind, data in ((Shakespeare, zoo.data), (Speech, Recordings(zoo.speech))):
        found = [MODELS[name] for name in zoo.models if isinstance(MODELS[name], kind)]
        if found:
            placed: Any = dataclasses.replace(found[0], data=data, debug=zoo.debug)
            windows = placed.splits.test.batch(np.arange(8))["x"]
            placed.write(zoo.folder / "data", windows.ravel())


def page(arguments: list[str]) -> None:
    """Renders the page of the models that are trained."""
    render(configure(arguments, f"{PROGRAM} page").folder)


def finished(folder: Path) -> dict[str, dict[str, Any]]:
    """The results of the models that are trained to the end."""
    paths = {name: folder / name / "results.json" for name in MODELS}
    return {name: json.loads(path.read_bytes()) for name, path in paths.items() if path.exists()}


def render(folder: Path) -> None:
    """Writes the page of the models that are trained and measured."""
    path, speed = folder / "README.md", folder / "speed.json"
    if not speed.exists():
        raise ValueError(f"folder: expected that of trained models, got {folder}: train first")
    speeds, results = json.loads(speed.read_bytes()), finished(folder)
    parts = [
        "# The zoo",
        "Twenty conditionals, small, trained for a few minutes, one seed each: "
        f"`{PROGRAM}` made this page, "
        f"`{PROGRAM} NAME` trains one model. Seed 0, {speeds['device']}. CPU-seconds count all of "
        "training: compiling and the looks at the validation split, too; compare them within a "
        "table only, since texts and sounds were trained on a faster machine. Events trained "
        f"and drawn (16 at once) per second of wall time: medians of `{speeds['command']}`.",
    ]
    for kind, title in KINDS.items():
        measured = [name for name in results if f"zoo/{name}" in speeds["models"]]
        shown = {name: results[name] for name in measured if isinstance(MODELS[name], kind)}
        if shown:
            parts += section(folder, title, shown, speeds["models"])
    write(path, "\n\n".join(parts) + "\n")
    print(f"Wrote {path}")


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
    records = {name: read_metrics(folder / name / "metrics.jsonl") for name in results}
    for name, found in sorted(results.items(), key=lambda item: item[1]["nats"]):
        experiment, speed = MODELS[name], speeds[f"zoo/{name}"]
        trained = 1e3 * experiment.batch_size / speed["step_ms"]
        rows.append(
            f"| [{name}](#{name}) | {found['parameters']:,} | {found['training_cpu_seconds']:,.0f} "
            f"| {rate(trained)} | {rate(speed['drawn_per_s'])} | {figure(found['likelihood'])} |"
        )
        samples += [
            f"### {name}",
            recipe(experiment, records[name][-1]["step"]),
            *filter(None, [NOTES.get(name)]),
        ]
        (drawn,) = (folder / name).glob("samples.*")
        samples.append(show(folder, drawn, f"samples of {name}"))
    suffixes = {path.suffix for name in results for path in (folder / name).glob("samples.*")}
    for path in [folder / f"data{suffix}" for suffix in suffixes]:
        samples += ["### data", show(folder, path, "data")] if path.exists() else []
    (scored,) = {(r["likelihood"]["split"], r["likelihood"]["kind"]) for r in results.values()}
    methods = sorted({parse_likelihood(r["likelihood"]).error_method for r in results.values()})
    draw_race(folder / f"{title.lower()}.png", records)
    return [
        f"## {title}",
        f"Test split: {', '.join(scored)}, in nats an event and in bits/dim; standard errors: "
        f"{', '.join(methods)}.",
        "\n".join(rows), f"![validation over CPU-seconds]({title.lower()}.png)", *samples,
    ]  # fmt: skip


def show(folder: Path, path: Path, what: str) -> str:
    """A text, a picture, or where to listen."""
    if path.suffix == ".txt":
        lines = path.read_text(encoding="utf-8").strip().split("\n")
        return "\n".join(["```", *lines[:12], "```"])
    mark = "!" if path.suffix == ".png" else ""
    return f"{mark}[{what}]({path.relative_to(folder)})"


def rate(events: float) -> str:
    """Events per second, to about two digits."""
    return f"{events:,.0f}" if events >= 10 else f"{events:.2g}"


def figure(likelihood: Mapping[str, Any]) -> str:
    """Nats with their error, and bits/dim."""
    found = parse_likelihood(likelihood)
    return f"{found.nats:,.2f} ± {found.error:.2f} nats, {found.bits_per_dim:.3f} bits/dim"


def parse_likelihood(likelihood: Mapping[str, Any]) -> Likelihood:
    """A likelihood as it stands in a file."""
    return Likelihood(**{name: value for name, value in likelihood.items() if name != "class"})


def recipe(experiment: Experiment, steps: int) -> str:
    """What was trained, and how."""
    model, training = experiment.model, experiment.training
    blocks = "" if model.ordering.block_size == 1 else f", in blocks {model.ordering.block}"
    return (
        f"`{described(model.conditional)}`{blocks}; {steps:,} steps of "
        f"{experiment.batch_size}, `{described(training.optimizer)}`"
    )


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


if __name__ == "__main__":
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word in MODELS:
        experiment = dataclasses.replace(MODELS[word], folder=Path("runs/zoo") / word)
        main(experiment, __doc__ or "", word)
    else:
        dispatch(PROGRAM, {"train": train, "page": page}, "train", __doc__ or "", sys.argv[1:])
