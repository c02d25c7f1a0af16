"""Run an experiment for several seeds and settings.

python -m experiments.launch                              lists the experiments
python -m experiments.launch digits --seeds 0 1 2
python -m experiments.launch digits --sweep training.optimizer.learning-rate=1e-3,3e-4
python -m experiments.launch digits --seeds 0 1 2 3 --devices 0 1

Each run is a process of its own, with its folder under runs/NAME/SETTING/seed=S and its output
beside it in seed=S.log. The same command again goes on where it stopped: finished runs are left
alone, interrupted ones resume. Ctrl-C is passed on to the runs, which save before they end. The
last thing printed is a table of what they found, mean ± standard deviation over the seeds; it is
also written to runs/NAME/launch.md. Other options go to the experiment as they are.
"""

import argparse
import ast
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
import threading
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from rich import progress
from rich.console import Console
from rich.markup import escape
from rich.table import Table

PROGRAM = "python -m experiments.launch"


@dataclass(frozen=True)
class Run:
    """Training with one setting and seed.

    Attributes:
      experiment: its name.
      options: of the command line.
      folder: of the run.
    """

    experiment: str
    options: tuple[str, ...]
    folder: Path

    def __str__(self) -> str:
        return " ".join(self.folder.parts[-2:])

    @property
    def arguments(self) -> list[str]:
        """What the experiment is given."""
        return [*self.options, "--folder", str(self.folder)]

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def finished(self) -> bool:
        """Whether it was trained to the end, with these very arguments."""
        given = read(self.folder / "arguments.json")
        return given == self.arguments and read(self.folder / "results.json") is not None

    def command(self, verb: str) -> list[str]:
        """Starts the experiment."""
        return [sys.executable, "-m", f"experiments.{self.experiment}", verb, *self.arguments]

    def steps(self) -> tuple[int, int | None]:
        """Steps made and to make, as the files in its folder tell; 0 and None before they do."""
        with suppress(OSError, ValueError, LookupError, TypeError):
            records = (self.folder / "metrics.jsonl").read_text().splitlines()
            total = read(self.folder / "config.json")["training"]["steps"]
            return json.loads(records[-1])["step"], total
        return 0, None

    def figures(self) -> dict[str, float]:
        """The numbers in its results: nats, bits/dim, and all others but the seed."""
        results = read(self.folder / "results.json")
        found = {}
        if likelihood := results.get("likelihood"):
            nats, of = likelihood["nats"], f"{likelihood['split']}, {likelihood['kind']}"
            found[f"nats ({of})"] = nats
            found[f"bits/dim ({of})"] = nats / (likelihood["variables"] * math.log(2))
        return found | {
            name.replace("_", " "): value
            for name, value in results.items()
            if type(value) in (int, float) and name != "seed"
        }


Setting = tuple[str, ...]
"""A value of each field that is swept."""


def experiments() -> dict[str, str]:
    """The experiments, each with what its file says of itself first; none is imported."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text())
        tests = [ast.unparse(node.test) for node in tree.body if isinstance(node, ast.If)]
        if "__name__ == '__main__'" in tests and path.stem != "launch":
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def parse_sweep(texts: Iterable[str]) -> dict[str, list[str]]:
    """The values of each field, from texts like "batch-size=32,64"."""
    pairs = []
    for text in texts:
        field, _, values = text.partition("=")
        if not field or "" in values.split(","):
            raise ValueError(f"sweep: expected FIELD=VALUE,VALUE..., got {text}")
        pairs.append((dashed(field), values.split(",")))
    check_distinct("sweep", [field for field, _ in pairs])
    for field, values in pairs:
        check_distinct(f"sweep of {field}", values)
    return dict(pairs)


def plan(
    experiment: str,
    folder: Path,
    seeds: Sequence[int],
    sweep: Mapping[str, Sequence[str]],
    others: Sequence[str],
) -> dict[Setting, list[Run]]:
    """The runs of every setting, one for each seed.

    Args:
      experiment: its name.
      folder: of all runs.
      seeds: of training.
      sweep: the values of each field; all combinations are run.
      others: options of every run.
    """
    check_distinct("seeds", seeds)
    given = [dashed(option[2:].split("=")[0]) for option in others if option.startswith("--")]
    taken = ["training.seed", "folder"]
    check_distinct("options (--seeds sets training.seed)", [*taken, *sweep, *given])
    settings: dict[Setting, list[Run]] = {}
    for setting in itertools.product(*sweep.values()):
        fields = list(zip(sweep, setting, strict=True))
        named = quote(",".join(f"{field}={value}" for field, value in fields), safe="=,+")
        swept = [word for field, value in fields for word in (f"--{field}", *value.split())]
        settings[setting] = [
            Run(
                experiment,
                ("--training.seed", str(seed), *swept, *others),
                folder / experiment / named / f"seed={seed}",
            )
            for seed in seeds
        ]
    return settings


def dashed(option: str) -> str:
    """As the experiments spell their options."""
    return option.replace("_", "-")


def check_distinct(name: str, values: Sequence[Hashable]) -> None:
    """Raises ValueError when a value comes twice."""
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{name}: expected each once, got {value} again")


def work_off(runs: Sequence[Run], devices: Sequence[str]) -> None:
    """Runs them in this order, as many at once as there are devices, and tells how each ended.

    Ctrl-C and SIGTERM go to the runs as Ctrl-C: the first lets them save, a second stops them at
    once. After one nothing new is started.

    Args:
      runs: to be trained.
      devices: the accelerators, one for each run at a time; none for all, one run at a time.
    """
    waiting, free = list(runs), list(devices) or [""]
    running: dict[subprocess.Popen[bytes], tuple[Run, str, progress.TaskID]] = {}
    stop = threading.Event()

    def pass_on(number: int, frame: Any) -> None:
        stop.set()
        for process in list(running):
            process.send_signal(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    columns = (progress.TextColumn("{task.description}"), progress.BarColumn())
    times = (progress.MofNCompleteColumn(), progress.TimeElapsedColumn())
    with progress.Progress(*columns, *times) as bars:
        bar = bars.add_task("runs", total=len(runs))
        while running or (waiting and not stop.is_set()):
            while waiting and free and not stop.is_set():
                run, device = waiting.pop(0), free.pop(0)
                task = bars.add_task(escape(str(run)), total=None)
                running[start(run, device)] = run, device, task
            time.sleep(0.2)
            for process, (run, device, task) in list(running.items()):
                made, total = run.steps()
                bars.update(task, completed=made, total=total)
                if process.poll() is not None:
                    del running[process]
                    free.append(device)
                    bars.remove_task(task)
                    bars.advance(bar)
                    ended = escape(f"{run}: {outcome(run, process.returncode)}")
                    bars.console.print(ended, soft_wrap=True)


def start(run: Run, device: str) -> subprocess.Popen[bytes]:
    """Starts a run on an accelerator, in a session of its own: a terminal's Ctrl-C is ours."""
    only = {"CUDA_VISIBLE_DEVICES": device, "TPU_VISIBLE_CHIPS": device}
    only |= dict.fromkeys(("TPU_PROCESS_BOUNDS", "TPU_CHIPS_PER_PROCESS_BOUNDS"), "1,1,1")
    only |= {"ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    environment = os.environ | {"PYTHONUNBUFFERED": "1"} | (only if device else {})
    run.log.parent.mkdir(parents=True, exist_ok=True)
    with run.log.open("a") as log:
        log.write(f"$ {shlex.join(run.command('train'))}\n")
        log.flush()
        return subprocess.Popen(
            run.command("train"), env=environment, stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def outcome(run: Run, status: int) -> str:
    """How a run ended."""
    if status == 0:
        return "finished" if run.finished else "stopped; the same command goes on from there"
    lines = run.log.read_text(errors="replace").splitlines()
    last = next(line for line in reversed(lines) if re.search(r"\w", line))
    return f"failed with exit status {status}: {last.strip()} ({run.log})"


def tabulate(
    fields: Iterable[str], settings: Mapping[Setting, Sequence[Run]]
) -> tuple[list[str], list[list[str]]]:
    """Header and rows: each setting with the mean and spread of what its finished runs found."""
    found = {s: [run.figures() for run in runs if run.finished] for s, runs in settings.items()}
    names = list(dict.fromkeys(name for runs in found.values() for run in runs for name in run))
    rows = [
        [
            *setting,
            f"{len(runs)} of {len(settings[setting])}",
            *(spread([run[name] for run in runs if name in run]) for name in names),
        ]
        for setting, runs in found.items()
    ]
    return [*fields, "runs", *names], rows


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation (of a sample: n - 1), to two digits of the latter."""
    if not values:
        return "-"
    mean = statistics.fmean(values)
    several = len(values) > 1 and math.isfinite(mean)
    deviation = statistics.stdev(values) if several else 0.0
    if deviation == 0:
        return f"{mean:,.0f}" if mean.is_integer() else f"{mean:.5g}"
    digits = max(0, 1 - math.floor(math.log10(deviation)))
    return f"{mean:,.{digits}f} ± {deviation:,.{digits}f}"


def read(path: Path) -> Any:
    """The JSON in a file; None if there is none, or only a part."""
    with suppress(OSError, ValueError):
        return json.loads(path.read_text())


class Parser(argparse.ArgumentParser):
    """One whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: list[str]) -> int:
    """Runs the command line; the exit status is 1 unless all runs have finished."""
    known = experiments()
    listing = "\n".join(f"  {name:24}{line}" for name, line in known.items())
    if not arguments:
        print(f"Experiments, for {PROGRAM} NAME (see --help):\n{listing}")
        return 0
    parser = Parser(
        prog=PROGRAM, description=__doc__, epilog=f"experiments:\n{listing}", allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("experiment", metavar="NAME", help="of the experiment")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="default: 0")
    parser.add_argument(
        "--sweep", nargs="+", action="extend", default=[], metavar="FIELD=VALUE,VALUE...",
        help="values of an option of the experiment; several sweeps are combined",
    )  # fmt: skip
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="default: runs")
    parser.add_argument(
        "--devices", nargs="+", default=[], metavar="NUMBER",
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
        sweep = parse_sweep(options.sweep)
        settings = plan(options.experiment, options.folder, options.seeds, sweep, others)
    except ValueError as error:
        parser.error(str(error))
    waiting = [run for runs in settings.values() for run in runs if not run.finished]
    for run in {run.folder.parent: run for run in waiting}.values():  # one of each setting
        if subprocess.run(run.command("check"), stdout=subprocess.DEVNULL).returncode:
            parser.error(f"refused by experiments.{options.experiment}: {shlex.join(run.options)}")
    work_off(waiting, options.devices)
    header, rows = tabulate(sweep, settings)
    table = Table(*header)
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)
    lines = [f"`{PROGRAM} {shlex.join(arguments)}`", ""]
    lines += [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]
    (options.folder / options.experiment / "launch.md").write_text("\n".join(lines) + "\n")
    return 0 if all(run.finished for runs in settings.values() for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
