"""The launcher as a user starts it: in a process of its own, on an experiment of milliseconds.

One test runs a real experiment.
"""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments import launch

FAKE = '''"""A fake: its figures are functions of its options.

More about it.
"""
import argparse, json, os, signal, sys, time
from pathlib import Path

def main():
    verb, *arguments = sys.argv[1:]
    parser = argparse.ArgumentParser()
    parser.add_argument("--training.seed", type=int, dest="seed")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rate", type=float, default=1)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--fails-at", type=int)
    parser.add_argument("--meet", type=int, default=0)
    parser.add_argument("--wait", action="store_true")
    options = parser.parse_args(arguments)
    if verb == "check":
        return
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "arguments.json").write_text(json.dumps(arguments))
    with (folder / "starts").open("a") as starts:
        print(os.environ.get("CUDA_VISIBLE_DEVICES"), file=starts)
    busy = folder.parent / f"busy-{os.environ.get('CUDA_VISIBLE_DEVICES')}"
    busy.mkdir()  # fails if another run has this device
    try:
        run(options, folder)
    finally:
        busy.rmdir()

def run(options, folder):
    if options.seed == options.fails_at:
        sys.exit("loss: expected a finite number, got nan")
    start = time.monotonic()
    while len(list(folder.parent.glob("*/starts"))) < options.meet:
        assert time.monotonic() < start + 60, "the others did not start"
        time.sleep(0.01)
    if options.wait and not (folder / "saved").exists():
        signal.signal(signal.SIGINT, lambda *_: (folder / "saved").touch())
        (folder / "ready").touch()
        while not (folder / "saved").exists():
            time.sleep(0.01)
        return
    likelihood = {"nats": 80 + options.seed**2 / options.rate, "variables": 64, "split": "test",
                  "kind": "exact"}
    results = {"command": "", "seed": options.seed, "parameters": 1234567, "likelihood": likelihood,
               "bayes_accuracy": 0.9 + options.seed / 70}
    (folder / "results.json").write_text(json.dumps(results))

if __name__ == "__main__":
    main()
'''


@pytest.fixture
def here(tmp_path):
    """A folder whose experiments are the launcher and the fake."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "helpers.py").write_text('"""Not an experiment."""\n')
    (folder / "launch.py").symlink_to(launch.__file__)
    (folder / "fake.py").write_text(FAKE)
    return tmp_path


def command(*arguments):
    return [sys.executable, "-m", "experiments.launch", *arguments]


def start(here, *arguments):
    return subprocess.run(command(*arguments), cwd=here, capture_output=True, text=True)


def starts(here):
    """The device of each start, under the folder of its run."""
    folders = (here / "runs" / "fake").rglob("starts")
    return {
        str(path.parent.relative_to(here / "runs" / "fake")): path.read_text().split()
        for path in folders
    }


def rows(here):
    """The table in launch.md: a dictionary for each row."""
    text = (here / "runs" / "fake" / "launch.md").read_text()
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def test_every_combination_runs_in_a_folder_of_its_own(here):
    arguments = ("fake", "--seeds", "0", "7", "--sweep", "rate=1,2", "batch_size=8", "--meet", "1")
    result = start(here, *arguments)
    assert result.returncode == 0, result.stderr
    assert set(starts(here)) == {
        f"rate={rate},batch-size=8/seed={seed}" for rate in (1, 2) for seed in (0, 7)
    }
    folder = "runs/fake/rate=2,batch-size=8/seed=7"
    given = json.loads((here / folder / "arguments.json").read_text())
    assert shlex.join(given) == (
        f"--training.seed 7 --rate 2 --batch-size 8 --meet 1 --folder {folder}"
    )


def test_the_table_has_mean_and_spread_over_seeds(here):
    arguments = ("fake", "--seeds", "0", "1", "3", "--sweep", "rate=1,4")
    result = start(here, *arguments)
    assert result.returncode == 0, result.stderr
    table = rows(here)
    assert [row["rate"] for row in table] == ["1", "4"]
    for row in table:
        nats = 80 + np.array([0, 1, 9]) / float(row["rate"])
        for name, values in (
            ("nats (test, exact)", nats),
            ("bits/dim (test, exact)", nats / (64 * np.log(2))),
            ("bayes accuracy", 0.9 + np.array([0, 1, 3]) / 70),
        ):
            mean, deviation = row[name].split(" ± ")
            rounding = 0.501 * 10.0 ** -len(mean.partition(".")[2])
            assert float(mean) == pytest.approx(values.mean(), abs=rounding), name
            assert float(deviation) == pytest.approx(values.std(ddof=1), abs=rounding), name
            assert len(deviation.replace(".", "").lstrip("0")) == 2, "two digits"
        assert row["parameters"] == "1,234,567"
        assert row["runs"] == "3 of 3"
        assert "seed" not in row
    assert table[0]["nats (test, exact)"] in result.stdout.replace("\n", " ")
    text = (here / "runs" / "fake" / "launch.md").read_text()
    assert f"python -m experiments.launch {shlex.join(arguments)}" in text


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([], "-"),
        ([1.79984], "1.7998"),
        ([3, 3], "3"),
        ([91.25, 91.75], "91.50 ± 0.35"),
        ([1000, 3000], "2,000 ± 1,414"),
        ([0.5, float("inf")], "inf"),
    ],
)
def test_a_spread_has_two_digits_and_one_value_has_none(values, shown):
    assert launch.spread(values) == shown


def test_the_same_command_again_starts_only_what_is_not_finished(here):
    arguments = ("fake", "--seeds", "0", "1", "2")
    assert start(here, *arguments).returncode == 0
    (here / "runs" / "fake" / "seed=1" / "results.json").write_text('{"nats": ')  # cut off
    again = start(here, *arguments)
    assert again.returncode == 0, again.stderr
    assert {name: len(times) for name, times in starts(here).items()} == {
        "seed=0": 1, "seed=1": 2, "seed=2": 1,
    }  # fmt: skip
    assert rows(here)[0]["runs"] == "3 of 3"


def test_a_finished_run_with_other_options_is_left_to_the_experiment(here):
    assert start(here, "fake").returncode == 0
    assert start(here, "fake", "--rate", "2").returncode == 0
    assert len(starts(here)["seed=0"]) == 2


def test_a_run_that_fails_is_named_while_the_others_go_on(here):
    result = start(here, "fake", "--seeds", "0", "1", "2", "--fails-at", "1")
    assert result.returncode == 1
    log = Path("runs/fake/seed=1.log")
    reason = "loss: expected a finite number, got nan"
    wanted = f"fake seed=1: failed with exit status 1: {reason} ({log})"
    assert wanted in result.stdout.splitlines()
    assert "got nan" in (here / log).read_text()
    assert rows(here)[0]["runs"] == "2 of 3"
    mean = rows(here)[0]["nats (test, exact)"].split(" ± ")[0]
    assert float(mean) == 82  # (80 + 84) / 2


def test_each_device_takes_one_run_at_a_time(here):
    seeds = [str(seed) for seed in range(4)]
    result = start(here, "fake", "--seeds", *seeds, "--devices", "5", "6", "--meet", "2")
    assert result.returncode == 0, result.stderr  # two were there at once
    used = [device for devices in starts(here).values() for device in devices]
    assert sorted(set(used)) == ["5", "6"]
    assert len(used) == 4


def test_ctrl_c_lets_the_runs_save_and_the_same_command_goes_on(here):
    arguments = ("fake", "--seeds", "0", "1", "2", "--devices", "0", "1", "--wait")
    launcher = subprocess.Popen(command(*arguments), cwd=here, stdout=subprocess.PIPE, text=True)
    folder = here / "runs" / "fake"
    start_time = time.monotonic()
    while len(list(folder.glob("*/ready"))) < 2:
        assert time.monotonic() < start_time + 60, "the runs did not start"
        time.sleep(0.01)
    launcher.send_signal(signal.SIGINT)
    printed, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == 1
    assert printed.count("stopped; the same command goes on from there") == 2
    assert sorted(starts(here)) == ["seed=0", "seed=1"]  # nothing new was started
    assert all((folder / name / "saved").exists() for name in starts(here))
    (folder / "seed=2").mkdir()
    (folder / "seed=2" / "saved").touch()
    assert start(here, *arguments).returncode == 0
    assert rows(here)[0]["runs"] == "3 of 3"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fkae"], "NAME: expected one of fake, got fkae"),
        (["launch"], "NAME: expected one of fake, got launch"),
        (["fake", "--seeds"], "argument --seeds: expected at least one argument"),
        (["fake", "--seeds", "1", "1"], "seeds: expected each once, got 1 again"),
        (["fake", "--sweep", "rate"], "sweep: expected FIELD=VALUE,VALUE..., got rate"),
        (["fake", "--sweep", "rate=1,"], "sweep: expected FIELD=VALUE,VALUE..., got rate=1,"),
        (["fake", "--sweep", "rate=1,1"], "sweep of rate: expected each once, got 1 again"),
        (
            ["fake", "--sweep", "rate=1", "--sweep", "rate=2"],
            "sweep: expected each once, got rate again",
        ),
        (["fake", "--sweep", "rate=1", "--rate", "2"], "expected each once, got rate again"),
        (["fake", "--sweep", "training.seed=1"], "expected each once, got training.seed again"),
        (["fake", "--devices", "0", "0"], "devices: expected each once, got 0 again"),
        (["fake", "--sweep", "rtae=1,2"], "unrecognized arguments: --rtae 1"),
        (["fake", "--sweep", "rate=1,x"], "argument --rate: invalid float value: 'x'"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(here, arguments, message):
    result = start(here, *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (here / "runs").exists()
    own = [line for line in result.stderr.splitlines() if "experiments.launch: " in line]
    assert len(own) == 1


def test_without_a_name_it_lists_the_experiments(here):
    for arguments in ((), ("--help",)):
        result = start(here, *arguments)
        assert result.returncode == 0
        assert re.search(r"^  fake +A fake: its figures", result.stdout, flags=re.MULTILINE)
        assert not re.search(r"^  (launch|helpers) ", result.stdout, flags=re.MULTILINE)


def test_the_list_names_every_experiment():
    folder = Path(launch.__file__).parent
    runnable = {path.stem for path in folder.glob("*.py") if "\nif __name__" in path.read_text()}
    assert set(launch.experiments()) == runnable - {"launch"}
    for name, line in launch.experiments().items():
        assert (folder / f"{name}.py").read_text().startswith(f'"""{line}')
        assert line.endswith((".", ":")), name


def test_a_real_experiment_is_swept_and_resumed(tmp_path):
    arguments = ("digits", "--debug", "--sweep", "training.steps=3")
    result = start(tmp_path, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    folder = tmp_path / "runs" / "digits" / "training.steps=3" / "seed=0"
    results = json.loads((folder / "results.json").read_text())
    assert f"{results['likelihood']['nats']:.5g}" in result.stdout
    log = folder.with_name("seed=0.log")
    before = log.read_bytes()
    assert start(tmp_path, *arguments).returncode == 0
    assert log.read_bytes() == before, "it was started again"
    misspelt = start(tmp_path, "digits", "--sweep", "training.setps=3,4")
    assert misspelt.returncode == 2
    assert "--training.setps" in misspelt.stderr
