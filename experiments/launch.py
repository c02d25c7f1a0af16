"""Run an experiment for several seeds and settings.

python -m experiments.launch                              lists the experiments
python -m experiments.launch digits --seeds 0 1 2 --devices 0 1
python -m experiments.launch digits --sweep training.optimizer.learning-rate=1e-3,3e-4
python -m experiments.launch mnist_made --sweep class-conditional=True,False

Each run is a process of its own, with its folder under runs/NAME/SETTING/seed=S and its output
beside it in seed=S.log. The same command again goes on where it stopped: finished runs are left
alone, interrupted ones resume. Ctrl-C is passed on to the runs, which save before they end. The
last thing printed is a table of what they found, mean ± standard deviation over the seeds; it also
goes into runs/NAME/launch.md, under its command. Other options go to the experiment as they are.
Options change values: for another class (an optimizer, a conditional), edit the experiment's file.
"""

import argparse
import itertools
import json
import math
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table

from ar_jax.experiment.terminal import printing

PROGRAM = "python -m experiments.launch"
OTHERS = (
    "launch", "likelihood", "zoo", "orderings", "tables", "gpt2", "compression",
    "generative_classification",
)  # fmt: skip
"""Programs that are no experiment, or several."""

REFUSED = 2
"""Exit status of a parser that does not take the options."""


@dataclass(frozen=True)
class Run:
    """Training with one setting and seed.

    Attributes:
      command: starts it.
      arguments: what the experiment is given.
      folder: of the run.
      log: where its output goes.
    """

    command: str
    arguments: list[str]
    folder: Path
    log: Path

    def __str__(self) -> str:
        return " ".join(self.folder.parts[-2:])

    @property
    def output(self) -> str:
        """What it printed since it was last started."""
        log = self.log.read_text(encoding="utf-8", errors="replace")
        return log.rpartition(f"$ {self.command}\n")[2]

    @property
    def results(self) -> dict[str, Any]:
        """What it found; empty until it is trained to the end, with these very arguments."""
        with suppress(OSError, ValueError):  # not there yet, or only a part
            if json.loads((self.folder / "arguments.json").read_bytes()) == self.arguments:
                return json.loads((self.folder / "results.json").read_bytes())
        return {}


def experiments() -> dict[str, str]:
    """The experiments, each with what its file says of itself first; none is imported."""
    paths = sorted(Path(__file__).parent.glob("*.py"))
    texts = {path.stem: path.read_text(encoding="utf-8") for path in paths}
    return {
        name: text.partition("\n")[0].strip('"')
        for name, text in texts.items()
        if "\nif __name__ ==" in text and name not in OTHERS
    }


def parse_sweep(text: str) -> tuple[str, list[str]]:
    """A field and its values, from a text like "batch-size=32,64"."""
    field, _, values = text.partition("=")
    if not field or "" in values.split(","):
        raise ValueError(f"sweep: expected FIELD=VALUE,VALUE..., got {text}")
    return field.replace("_", "-"), values.split(",")


def plan(
    experiment: str,
    folder: Path,
    seeds: Sequence[int],
    sweep: Sequence[tuple[str, Sequence[str]]],
    others: Sequence[str],
) -> dict[tuple[str, ...], list[Run]]:
    """The runs of every setting, which is a value of each field: one for each seed.

    Args:
      experiment: its name.
      folder: of all runs.
      seeds: of training.
      sweep: fields, each with its values; all combinations are run.
      others: options of every run.
    """
    fields = [field for field, _ in sweep]
    if min(seeds) < 0:
        raise ValueError(f"seeds: expected at least 0, got {min(seeds)}")
    check_distinct("seeds", seeds)
    taken = ["training.seed", "folder"]
    check_distinct("options (--seeds sets training.seed)", [*taken, *fields, *named(others)])
    for field, values in sweep:
        check_distinct(f"sweep of {field}", values)

    def run(setting: Sequence[str], seed: int) -> Run:
        named = ",".join(f"{field}={value}" for field, value in zip(fields, setting, strict=True))
        place = folder / experiment / quote(named, safe="=,+") / f"seed={seed}"
        swept = itertools.chain(*map(option, fields, setting))
        arguments = ["--training.seed", str(seed), *swept, *others, "--folder", str(place)]
        command = [sys.executable, "-m", f"experiments.{experiment}", "train", *arguments]
        return Run(shlex.join(command), arguments, place, place.with_name(f"seed={seed}.log"))

    settings = itertools.product(*(values for _, values in sweep))
    return {setting: [run(setting, seed) for seed in seeds] for setting in settings}


def named(arguments: Sequence[str]) -> list[str]:
    """The fields that options name; a switch is one of its two names."""
    words = [word[2:].partition("=")[0] for word in arguments if word.startswith("--")]
    return [re.sub(r"\bno-", "", word.replace("_", "-")) for word in words]


def option(field: str, value: str) -> list[str]:
    """A value of a field on the command line; a switch has two names in place of values."""
    part, dot, name = field.rpartition(".")
    switches = {"True": f"--{field}", "False": f"--{part}{dot}no-{name}"}
    return [switches[value]] if value in switches else [f"--{field}", *value.split()]


def check_distinct(name: str, values: Sequence[Any]) -> None:
    """Raises ValueError when a value comes twice."""
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{name}: expected each once, got {value} again")


def work_off(runs: Sequence[Run], devices: Sequence[str]) -> str:
    """Runs them in this order, as many at once as there are devices, and tells how each ended.

    Ctrl-C and SIGTERM go to the runs as Ctrl-C: the first lets them save, a second stops them at
    once. Nothing new is started after one, nor when the experiment refuses its options.

    Args:
      runs: to be trained.
      devices: the accelerators, one for each run at a time; "" for all.

    Returns:
      What the experiment said when it refused its options, or nothing.
    """
    waiting, free, stop, refusal = list(runs), list(devices), False, ""
    running: dict[subprocess.Popen[bytes], tuple[Run, str]] = {}

    def pass_on(number: int, frame: Any) -> None:
        nonlocal stop
        stop = True
        for process in list(running):
            process.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    with Progress("runs", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()) as progress:
        bar = progress.add_task("", total=len(runs))

        def tell(text: str) -> None:
            progress.console.print(escape(text), soft_wrap=True, highlight=False)

        while running or (waiting and not stop):
            while waiting and free and not stop:
                run, device = waiting.pop(0), free.pop(0)
                tell(f"{run}: started ({run.log})")
                process = start(run, device)
                running[process] = run, device
                if stop:  # since before it was among the running
                    process.send_signal(signal.SIGINT)
            for process in list(running)[:1]:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=1)
            for process in [process for process in running if process.poll() is not None]:
                run, device = running.pop(process)
                free.append(device)
                progress.advance(bar)
                tell(f"{run}: {outcome(run, process.returncode)}")
                if process.returncode == REFUSED:
                    stop, refusal = True, run.output
    for number, handler in before.items():
        signal.signal(number, handler)
    return refusal


def start(run: Run, device: str) -> subprocess.Popen[bytes]:
    """Starts a run on an accelerator, in a session of its own: a terminal's Ctrl-C is ours."""
    only = {"CUDA_VISIBLE_DEVICES": device, "TPU_VISIBLE_CHIPS": device}
    only |= dict.fromkeys(("TPU_PROCESS_BOUNDS", "TPU_CHIPS_PER_PROCESS_BOUNDS"), "1,1,1")
    only |= {"ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    environment = os.environ | {"PYTHONUNBUFFERED": "1"} | (only if device else {})
    run.log.parent.mkdir(parents=True, exist_ok=True)
    with run.log.open("a", encoding="utf-8") as log:
        print("$", run.command, file=log, flush=True)
        return subprocess.Popen(
            shlex.split(run.command), env=environment, stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def outcome(run: Run, status: int) -> str:
    """How a run ended."""
    if status in (0, -signal.SIGINT):
        return "finished" if run.results else "stopped; the same command goes on from there"
    if status == REFUSED:
        return f"refused its options ({run.log})"
    lines = [line.strip() for line in run.output.splitlines() if re.search(r"\w", line)]
    return f"failed with exit status {status}: {''.join(lines[-1:])} ({run.log})"


def tabulate(fields: Iterable[str], settings: Mapping[tuple[str, ...], Sequence[Run]]) -> str:
    """A row for each setting, with mean and spread of the numbers that its finished runs found."""
    found = {s: [run.results for run in runs if run.results] for s, runs in settings.items()}
    finished = list(itertools.chain(*found.values()))
    scores = [results["likelihood"] for results in finished if "likelihood" in results]
    title = "; ".join(sorted({f"{score['split']}, {score['kind']}" for score in scores}))
    names = list(dict.fromkeys(name for results in finished for name in figures(results)))
    table = Table(*fields, "runs", *(n.replace("_", " ") for n in names), box=box.MARKDOWN)
    for setting, runs in found.items():
        spreads = [spread([run[name] for run in runs if name in run]) for name in names]
        cells = [*setting, f"{len(runs)} of {len(settings[setting])}", *spreads]
        table.add_row(*map(escape, cells))
    console = Console(width=10_000)
    with console.capture() as capture:
        console.print(table)
    return f"{title}\n\n{capture.get().strip()}\n"


def figures(results: Mapping[str, Any]) -> dict[str, float]:
    """The numbers in a run's results."""
    return {n: v for n, v in results.items() if type(v) in (int, float) and n != "seed"}


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation (of a sample: n - 1), to two digits of the latter."""
    if not values:
        return "-"
    mean = statistics.fmean(values)
    deviation = statistics.stdev(values) if len(values) > 1 and math.isfinite(mean) else 0.0
    if deviation == 0:
        return f"{mean:,.0f}" if mean.is_integer() else f"{mean:.5g}"
    digits = max(0, 1 - math.floor(math.log10(deviation)))
    return f"{mean:,.{digits}f} ± {deviation:,.{digits}f}"


def keep(path: Path, command: str, table: str) -> None:
    """Writes a table into a file, under its command: in place of that command's last one."""
    from ar_jax.durable import write  # imports JAX: seconds

    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    _, *sections = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    tables = {head: text.strip() for head, _, text in (s.partition("\n") for s in sections)}
    tables[f"`{command}`"] = table.strip()
    write(path, "\n".join(f"## {head}\n\n{text}\n" for head, text in tables.items()))


def main(arguments: list[str]) -> int:
    """Runs the command line; the exit status is 0 if all runs have finished."""
    known = experiments()
    listing = "\n".join(f"  {name:26}{line}" for name, line in known.items())
    if not arguments:
        print(f"Experiments, for {PROGRAM} NAME (see --help):\n{listing}")
        return 0
    usage = "%(prog)s NAME [options] [options of the experiment]"
    parser = argparse.ArgumentParser(
        PROGRAM, usage, __doc__, f"experiments:\n{listing}", allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("experiment", metavar="NAME", help="of the experiment")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="default: 0")
    parser.add_argument(
        "--sweep", nargs="+", action="extend", default=[], metavar="FIELD=VALUE,VALUE...",
        help="values of an option of the experiment (of a switch: True, False); several sweeps are "
        "combined",
    )  # fmt: skip
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="default: runs")
    parser.add_argument(
        "--devices", nargs="+", default=[""], metavar="NUMBER",
        help="accelerators; each takes one run at a time and is the only one that the run sees "
        "(CUDA_VISIBLE_DEVICES, TPU_VISIBLE_CHIPS). Without accelerators, just so many runs at "
        "once. Default: one run at a time, on all devices",
    )  # fmt: skip
    options, others = parser.parse_known_args(arguments)
    try:
        if options.experiment not in known:
            names = ", ".join(known)
            raise ValueError(f"NAME: expected one of {names}, got {options.experiment}")
        check_distinct("devices", options.devices)
        sweep = [parse_sweep(text) for text in options.sweep]
        settings = plan(options.experiment, options.folder, options.seeds, sweep, others)
    except ValueError as error:
        parser.error(str(error))
    runs = list(itertools.chain(*settings.values()))
    if refusal := work_off([run for run in runs if not run.results], options.devices):
        parser.exit(REFUSED, refusal)
    table = tabulate([field for field, _ in sweep], settings)
    print(table)
    path = options.folder / options.experiment / "launch.md"
    keep(path, f"{PROGRAM} {shlex.join(arguments)}", table)
    return 0 if all(run.results for run in runs) else 1


if __name__ == "__main__":
    with printing():
        sys.exit(main(sys.argv[1:]))
