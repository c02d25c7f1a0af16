"""The launcher as a user starts it: in a process of its own, on an experiment of milliseconds.

One test runs a real experiment.
"""

import dataclasses
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

from ar_jax.experiment import terminal
from ar_jax.experiment.command_line import parse
from experiments import launch
from experiments.mnist_made import MnistMade

FAKE = '''"""A fake: its figures are functions of its options.

More about it.
"""
import argparse, json, os, signal, sys, time
from pathlib import Path

def main():
    arguments = sys.argv[2:]
    parser = argparse.ArgumentParser()
    parser.add_argument("--training.seed", type=int, dest="seed")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rate", type=float, default=1)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--fails-at", type=int)
    parser.add_argument("--meet", type=int, default=0)
    parser.add_argument("--wait", action=argparse.BooleanOptionalAction, default=False)
    options = parser.parse_args(arguments)
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
            assert time.monotonic() < start + 60, "no signal came"
            time.sleep(0.01)
        return
    nats = 80 + options.seed**2 / options.rate
    results = {"command": "", "seed": options.seed, "parameters": 1234567,
               "likelihood": {"nats": nats, "variables": 64, "split": "test", "kind": "exact"},
               "nats": nats, "bayes_accuracy": 0.9 + options.seed / 70}
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
    (folder / "helpers.py").write_text('"""Not an experiment."""\n', encoding="utf-8")
    for module in (launch, terminal):
        (folder / Path(module.__file__).name).symlink_to(module.__file__)
    (folder / "fake.py").write_text(FAKE, encoding="utf-8")
    return tmp_path


def command(*arguments):
    return [sys.executable, "-m", "experiments.launch", *arguments]


def start(here, *arguments):
    return subprocess.run(command(*arguments), cwd=here, capture_output=True, encoding="utf-8")


def starts(here):
    """The device of each start, under the folder of its run."""
    folders = (here / "runs" / "fake").rglob("starts")
    return {
        str(path.parent.relative_to(here / "runs" / "fake")): path.read_text(
            encoding="utf-8"
        ).split()
        for path in folders
    }


def tables(here, name="fake"):
    """The tables in launch.md, each under its command: a dictionary for each row."""
    _, *sections = (here / "runs" / name / "launch.md").read_text(encoding="utf-8").split("## ")
    found = {}
    for section in sections:
        lines = [line for line in section.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        heading = section.partition("\n")[0].strip("`")
        found[heading] = [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]
    return found


def rows(here):
    """The last table in launch.md."""
    return list(tables(here).values())[-1]


def test_every_combination_runs_in_a_folder_of_its_own(here):
    arguments = ("fake", "--seeds", "0", "7", "--sweep", "rate=1,2", "batch_size=8", "--meet", "1")
    result = start(here, *arguments)
    assert result.returncode == 0, result.stderr
    assert set(starts(here)) == {
        f"rate={rate},batch-size=8/seed={seed}" for rate in (1, 2) for seed in (0, 7)
    }
    folder = "runs/fake/rate=2,batch-size=8/seed=7"
    given = json.loads((here / folder / "arguments.json").read_bytes())
    assert shlex.join(given) == (
        f"--training.seed 7 --rate 2 --batch-size 8 --meet 1 --folder {folder}"
    )


def test_the_table_has_mean_and_spread_over_seeds(here):
    arguments = ("fake", "--seeds", "0", "1", "3", "--sweep", "rate=1,4", "--devices", "0", "1")
    result = start(here, *arguments)
    assert result.returncode == 0, result.stderr
    table = rows(here)
    assert [row["rate"] for row in table] == ["1", "4"]
    for row in table:
        nats = 80 + np.array([0, 1, 9]) / float(row["rate"])
        for name, values in (
            ("nats", nats),
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
        assert "likelihood" not in row
        assert row["nats"] in result.stdout
    assert list(tables(here)) == [f"python -m experiments.launch {shlex.join(arguments)}"]
    assert "\ntest, exact\n" in (here / "runs" / "fake" / "launch.md").read_text(encoding="utf-8")
    assert "\ntest, exact\n" in result.stdout


def test_each_command_keeps_its_table(here):
    first, second = ("fake", "--seeds", "0"), ("fake", "--sweep", "rate=1,2")
    for arguments in (first, second, first):
        assert start(here, *arguments).returncode == 0
    kept = tables(here)
    commands = [f"python -m experiments.launch {shlex.join(line)}" for line in (first, second)]
    assert list(kept) == commands
    assert [len(table) for table in kept.values()] == [1, 2]


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
    (here / "runs" / "fake" / "seed=1" / "results.json").write_text(
        '{"nats": ', encoding="utf-8"
    )  # cut off
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
    assert f"fake seed=0: started ({log.with_name('seed=0.log')})" in result.stdout.splitlines()
    assert "fake seed=0: finished" in result.stdout.splitlines()
    assert "got nan" in (here / log).read_text(encoding="utf-8")
    assert rows(here)[0]["runs"] == "2 of 3"
    mean = rows(here)[0]["nats"].split(" ± ")[0]
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
    launcher = subprocess.Popen(
        command(*arguments), cwd=here, stdout=subprocess.PIPE, encoding="utf-8"
    )
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
        (["fake", "--seeds", "2", "-1"], "seeds: expected at least 0, got -1"),
        (["fake", "--seeds", "1", "1"], "seeds: expected each once, got 1 again"),
        (["fake", "--sweep", "rate"], "sweep: expected FIELD=VALUE,VALUE..., got rate"),
        (["fake", "--sweep", "rate=1,"], "sweep: expected FIELD=VALUE,VALUE..., got rate=1,"),
        (["fake", "--sweep", "rate=1,1"], "sweep of rate: expected each once, got 1 again"),
        (["fake", "--sweep", "rate=1", "--sweep", "rate=2"], "expected each once, got rate again"),
        (["fake", "--sweep", "rate=1", "--rate", "2"], "expected each once, got rate again"),
        (["fake", "--sweep", "wait=True", "--no-wait"], "expected each once, got wait again"),
        (["fake", "--sweep", "folder=a,b"], "expected each once, got folder again"),
        (["fake", "--sweep", "training.seed=1"], "expected each once, got training.seed again"),
        (["fake", "--devices", "0", "0"], "devices: expected each once, got 0 again"),
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


def test_a_refused_option_ends_the_launch_with_what_the_experiment_said(here):
    result = start(here, "fake", "--seeds", "0", "1", "--sweep", "rate=1,x,2")
    assert result.returncode == 2
    assert result.stderr.endswith("error: argument --rate: invalid float value: 'x'\n")
    assert "rate=x seed=0: refused its options (runs/fake/rate=x/seed=0.log)" in result.stdout
    assert set(starts(here)) == {"rate=1/seed=0", "rate=1/seed=1"}, "nothing new was started"
    assert not (here / "runs" / "fake" / "rate=x" / "seed=1.log").exists()


def test_experiments_refuse_an_option_with_the_exit_status_that_ends_the_launch(capsys):
    with pytest.raises(SystemExit) as refused:
        parse(MnistMade(), ["--training.setps", "3"], "program")
    assert refused.value.code == 2
    assert "--training.setps" in capsys.readouterr().err


def test_a_run_is_interrupted_though_the_signal_comes_while_it_starts(here, monkeypatch):
    (run,) = launch.plan("fake", here / "runs", [0], [], ["--wait"])[()]
    monkeypatch.chdir(here)
    begin = launch.start

    def start_and_interrupt(run, device):
        process = begin(run, device)
        deadline = time.monotonic() + 60
        while not (run.folder / "ready").exists():
            assert time.monotonic() < deadline, "the run did not start"
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)  # the launcher does not know the process yet
        return process

    monkeypatch.setattr(launch, "start", start_and_interrupt)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        launch.work_off([run], [""])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert (run.folder / "saved").exists()


def test_switches_are_swept_by_both_of_their_names():
    @dataclasses.dataclass(frozen=True)
    class Config:
        part: MnistMade
        some_switch: bool

    for default in (True, False):
        config = Config(MnistMade(class_conditional=default), default)
        for value in (True, False):
            sweep = ("some-switch", "part.class-conditional")
            words = [word for field in sweep for word in launch.option(field, str(value))]
            parsed = parse(config, words, "program")
            assert parsed.some_switch is value
            assert parsed.part.class_conditional is value


def test_without_a_name_it_lists_the_experiments(here):
    for arguments in ((), ("--help",)):
        result = start(here, *arguments)
        assert result.returncode == 0
        assert re.search(r"^  fake +A fake: its figures", result.stdout, flags=re.MULTILINE)
        assert not re.search(r"^  (launch|helpers) ", result.stdout, flags=re.MULTILINE)


def test_the_list_names_every_experiment():
    folder = Path(launch.__file__).parent
    runnable = {
        path.stem
        for path in folder.glob("*.py")
        if "\nif __name__" in path.read_text(encoding="utf-8")
    }
    assert set(launch.experiments()) == runnable - set(launch.OTHERS)
    for name, line in launch.experiments().items():
        assert (folder / f"{name}.py").read_text(encoding="utf-8").startswith(f'"""{line}')
        assert line.endswith((".", ":")), name


def test_a_real_experiment_is_swept_and_resumed(tmp_path):
    arguments = ("digits", "--sweep", "debug=True", "training.steps=3")
    result = start(tmp_path, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    folder = tmp_path / "runs" / "digits" / "debug=True,training.steps=3" / "seed=0"
    results = json.loads((folder / "results.json").read_bytes())
    (table,) = tables(tmp_path, "digits").values()
    assert float(table[0]["nats"]) == pytest.approx(results["likelihood"]["nats"], rel=1e-4)
    assert table[0]["parameters"] == f"{results['parameters']:,}"
    log = folder.with_name("seed=0.log")
    before = log.read_bytes()
    assert start(tmp_path, *arguments).returncode == 0
    assert log.read_bytes() == before, "it was started again"
