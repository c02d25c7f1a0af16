"""Kills runs of a real experiment at random moments and checks that they end as one never killed.

    python -m tests.kill_runs --kills 100 --json tests/kill_runs.json

The runs are those of `python -m experiments.digits train --debug`: each kill is a SIGKILL to a
process, then the same command goes on. A fifth of the kills comes at each of: a start, any step,
the writing of a checkpoint, the last steps with their validation and save, and the evaluation,
report and drawing after them. At the end of each run the arrays of its latest and best checkpoint,
its metrics without times and its figures are compared with those of a run never killed.
"""

import argparse
import json
import multiprocessing
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

MOMENTS = ("start", "step", "save", "end", "report")
STEPS = 60
ARGUMENTS = ["train", "--debug", "--training.steps", str(STEPS)]


def train(folder: str) -> None:
    """What the command does in a process of its own."""
    from experiments.digits import Digits
    from experiments.run import main

    log = os.open(f"{folder}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = ["experiments.digits", *ARGUMENTS, "--folder", folder]
    main(Digits(), "")


def timeless(folder: Path) -> list[dict[str, Any]]:
    """The metrics of a run without its times."""
    from ar_jax.training import read_metrics

    records = read_metrics(folder / "metrics.jsonl")
    return [{k: v for k, v in r.items() if not k.endswith("_seconds")} for r in records]


def recorded(folder: Path) -> int:
    """The last step that the metrics tell of."""
    return max((record["step"] for record in timeless(folder)), default=0)


def unfinished(folder: Path) -> set[Path]:
    """Checkpoints that are being written, or were when their process was killed."""
    return {path for path in folder.glob("checkpoints/*") if not path.name.isdigit()}


def ended(folder: Path) -> bool:
    """Whether the last validation is told."""
    last = timeless(folder)[-1:]
    return bool(last) and last[0]["step"] == STEPS and "validation_bits_per_dim" in last[0]


def end(folder: Path) -> dict[str, Any]:
    """All that a run came to: arrays, metrics and figures."""
    import jax
    import numpy as np

    from ar_jax.training import Checkpoints, init_state
    from experiments.digits import Digits
    from experiments.run import configured

    config = configured(Digits(), [*ARGUMENTS[1:], "--folder", str(folder)], "")
    optimizer = config.training.optimizer.transformation(config.training.steps)
    like = init_state(config.model, optimizer, 0, config.example)
    found: dict[str, Any] = {"metrics": timeless(folder)}
    with Checkpoints(folder / "checkpoints") as checkpoints:
        for which in ("latest", "best"):
            step = getattr(checkpoints, which)
            state = checkpoints.restore(like, step)
            state = state.replace(key=jax.random.key_data(state.key))
            arrays = {
                jax.tree_util.keystr(path): (str(leaf.dtype), np.asarray(leaf).tobytes())
                for path, leaf in jax.tree_util.tree_leaves_with_path(state)
            }
            found |= {f"{which} step": step, f"arrays of the {which}": arrays}
    results = json.loads((folder / "results.json").read_bytes())
    return found | {"results": {n: v for n, v in results.items() if n not in NOT_FIGURES}}


NOT_FIGURES = ("command", "training_cpu_seconds")


def wait(process: BaseProcess, until: Callable[[], object]) -> None:
    """Waits for a condition, or the end of the process."""
    while process.is_alive() and not until():
        time.sleep(0.001)


def kill_runs(kills: int, seed: int, place: Path) -> dict[str, Any]:
    """Starts and kills runs; what happened, as JSON.

    Raises:
      AssertionError: when a run ends otherwise than one never killed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["experiments.digits"])
    rng = random.Random(seed)

    def start(folder: Path) -> Any:
        process = context.Process(target=train, args=(str(folder),))
        process.start()
        return process

    def finish(folder: Path) -> tuple[float, float]:
        """Seconds until the first record, and from the last one to the end."""
        began, process = time.monotonic(), start(folder)
        wait(process, until=lambda: recorded(folder))
        first = time.monotonic()
        wait(process, until=lambda: ended(folder))
        last = time.monotonic()
        process.join()
        assert process.exitcode == 0, f"{folder}.log"
        return first - began, time.monotonic() - last

    whole = place / "whole"
    finish(place / "compiles")
    starting, reporting = finish(whole)
    expected = end(whole)
    lasts = {"start": starting, "step": 0.05, "save": 0.02, "end": 0.3, "report": reporting}

    folders, dead, resumed, saving = [place / "0"], Counter[str](), 0, 0
    while sum(dead.values()) < kills:
        folder, moment = folders[-1], MOMENTS[sum(dead.values()) % len(MOMENTS)]
        stale = unfinished(folder)
        saved = any(path.name.isdigit() for path in folder.glob("checkpoints/*"))
        past = recorded(folder)
        step = STEPS if moment in ("end", "report") else past + rng.randint(1, STEPS // 3)
        process = start(folder)
        if moment != "start":
            wait(process, until=lambda: recorded(folder) >= step)  # noqa: B023
        if moment == "save":
            wait(process, until=lambda: unfinished(folder) - stale)  # noqa: B023
        if moment == "report":
            wait(process, until=lambda: ended(folder))  # noqa: B023
        process.join(rng.uniform(0, lasts[moment]))
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            dead[moment] += 1
            resumed += saved
            saving += bool(unfinished(folder) - stale)
        else:  # the end came first
            assert process.exitcode == 0, f"{folder}.log"
            folders.append(place / str(len(folders)))
        print(f"{sum(dead.values())} kills, {len(folders)} runs", flush=True)
    finish(folders[-1])
    for folder in folders:
        found = end(folder)
        different = [name for name in expected if found[name] != expected[name]]
        assert not different, f"{folder}: another end than {whole}: {', '.join(different)}"
    return {
        "kills": sum(dead.values()),
        "moments": dict(dead),
        "kills_of_resumed_runs": resumed,
        "kills_while_a_checkpoint_was_written": saving,
        "runs": len(folders),
        "runs_that_ended_otherwise_than_one_never_killed": 0,
    }


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--json", type=Path, help="where to write the result")
    options = parser.parse_args()
    print(f"the moments are drawn with seed {options.seed}", flush=True)
    began = time.monotonic()
    place = Path(tempfile.mkdtemp())
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(place / "compiled")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    found = kill_runs(options.kills, options.seed, place)  # a failure leaves the folder
    shutil.rmtree(place)
    given = [f"--kills {options.kills}", *([f"--json {options.json}"] if options.json else [])]
    results = {
        "command": f"python -m tests.kill_runs {' '.join(given)}",
        "of": f"python -m experiments.digits {' '.join(ARGUMENTS)}",
        "seed": options.seed,
        **found,
        "seconds": round(time.monotonic() - began),
        "on": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
    print(json.dumps(results, indent=2))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
