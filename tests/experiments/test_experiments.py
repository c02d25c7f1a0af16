"""Every experiment as a user runs it, shrunk and on small data."""

import io
import json
import os
import runpy
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from experiments.chorales import Chorales
from experiments.digits import Digits
from experiments.fashion_transformer import FashionTransformer
from experiments.mnist_made import MnistMade
from experiments.mnist_pixelcnn import MnistPixelCNN
from experiments.run import main
from experiments.shakespeare_transformer import Shakespeare
from experiments.speech import Speech
from experiments.speech_samples import SpeechSamples
from experiments.text import Text

EXPERIMENTS = {  # the arguments of each besides --debug
    "digits": [],
    "mnist_made": ["--class-conditional"],
    "mnist_pixelcnn": [],
    "mnist_transformer": [],
    "mnist_any_order": [],
    "mnist_order_agnostic": [],
    "fashion_transformer": [],
    "shakespeare_transformer": ["--batch-size", "16"],
    "speech": [],
    "speech_samples": [],
    "text": [],
    "proteins": [],
    "chorales": [],
}

OWN_PROCESS = ("digits",)
"""The others run here, on eight devices and without the seconds that it takes to start one."""

FILES = {  # what experiments compress, and their run's option of the page
    "fashion_transformer": (["images.npy", "dark28.png"], "fashion"),
    "speech_samples": (["short.wav"], "speech"),
    "text": (["note.txt", "empty.txt", "[red] 10:00.txt"], "text"),
    "proteins": (["note.txt"], "proteins"),
}

DEFAULTS = {
    "digits": Digits(),
    "mnist_made": MnistMade(),
    "mnist_pixelcnn": MnistPixelCNN(),
    "shakespeare_transformer": Shakespeare(),
    "speech": Speech(),
    "chorales": Chorales(),
    "text": Text(),
    "speech_samples": SpeechSamples(),
    "fashion_transformer": FashionTransformer(),
}


class Place:
    """An empty folder in which experiments are run."""

    def __init__(self, folder: Path, data: Path):
        self.folder = folder
        cache = {"JAX_COMPILATION_CACHE_DIR": str(folder / "compiled")}
        cache |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        self.environment = os.environ | {"TFDS_DATA_DIR": str(data)} | cache
        rng = np.random.default_rng(0)
        (folder / "sounds").mkdir()
        for index in range(10):
            sound = (3000 * rng.standard_normal(2100)).astype(np.int16)
            wavfile.write(folder / "sounds" / f"{index}.wav", 8000, sound)
        wavfile.write(folder / "short.wav", 8000, sound[:100])
        pitch, lengths = rng.integers(0, 128, (20 * 100, 4), np.uint8), np.full(20, 100)
        np.savez(folder / "chorales.npz", pitch=pitch, lengths=lengths)
        np.savez(folder / "short.npz", pitch=pitch, lengths=lengths[1:])
        (folder / "sentences.txt").write_text("It was so. " * 1500, encoding="utf-8")
        (folder / "note.txt").write_text("It was so, and it was not so.\n", encoding="utf-8")
        (folder / "[red] 10:00.txt").write_text("It was late.\n", encoding="utf-8")
        (folder / "empty.txt").touch()
        np.save(folder / "images.npy", rng.integers(0, 256, (2, 28, 28, 1), np.uint8))
        np.save(folder / "wide.npy", rng.integers(0, 256, (2, 28, 29, 1), np.uint8))
        for side in (8, 28):
            Image.fromarray(np.zeros((side, side), np.uint8)).save(folder / f"dark{side}.png")

    def start(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`python -m experiments.NAME ARGUMENTS` in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", f"experiments.{name}", *arguments],
            cwd=self.folder, env=self.environment, capture_output=True, encoding="utf-8",
        )  # fmt: skip

    def run(self, name: str, *arguments: str) -> str:
        """What the same prints, which must succeed."""
        if name in OWN_PROCESS:
            result = self.start(name, *arguments)
            assert result.returncode == 0, result.stderr
            return result.stdout
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
            patch.chdir(self.folder)
            patch.setenv("TFDS_DATA_DIR", self.environment["TFDS_DATA_DIR"])
            patch.setattr(sys, "argv", [name, *arguments])
            patch.delitem(sys.modules, f"experiments.{name}", raising=False)
            runpy.run_module(f"experiments.{name}", run_name="__main__", alter_sys=True)
        return printed.getvalue()


@pytest.fixture(scope="module", params=EXPERIMENTS)
def trained(request, tmp_path_factory, tfds_folder):
    """An experiment after training: where, its name, the run's folder, what was printed."""
    place = Place(tmp_path_factory.mktemp(request.param), tfds_folder)
    printed = place.run(request.param, "--debug", *EXPERIMENTS[request.param], "--folder", "run")
    return place, request.param, place.folder / "run", printed


def test_training_ends_in_figures_curves_and_samples(trained):
    _, name, run, printed = trained
    assert "nats" in printed
    results = json.loads((run / "results.json").read_bytes())
    assert "bayes_accuracy" in results or name != "digits"
    assert results["command"].startswith(f"python -m experiments.{name} --debug")
    assert "generated data" in results["likelihood"]["split"]
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    (samples,) = run.glob("samples.*")
    previews = sorted(path.name for path in (run / "samples").iterdir())
    assert previews == [f"0000{step}{samples.suffix}" for step in (10, 20)]


def test_evaluating_again_gives_the_same_figures(trained):
    place, name, run, _ = trained
    before = json.loads((run / "results.json").read_bytes())
    (run / "results.json").unlink()
    assert "as recorded" not in place.run(name, "evaluate", "--folder", "run")
    after = json.loads((run / "results.json").read_bytes())
    assert after["likelihood"]["nats"] == pytest.approx(before["likelihood"]["nats"], rel=1e-6)
    assert after.keys() == before.keys()
    if name == "digits":
        assert "as recorded" in place.run(name, "evaluate", "--folder", "run")
        after["likelihood"]["nats"] *= 1 + 2e-6
        (run / "results.json").write_text(json.dumps(after), encoding="utf-8")
        assert "as recorded" not in place.run(name, "evaluate", "--folder", "run")
        (run / "results.json").write_text(json.dumps(before), encoding="utf-8")


def test_samples_go_on_from_what_is_given(trained):
    place, name, run, _ = trained
    if name == "shakespeare_transformer":
        options = ["--prompt", "Exeunt", "--length", "70"]
        printed = place.run(name, "sample", "--folder", "run", *options)
        drawn = (run / "samples.txt").read_text(encoding="utf-8")
        assert drawn.startswith("Exeunt")
        assert len(drawn) == 6 + 70 + 1
        assert drawn in printed
    elif name in ("text", "proteins"):
        place.run(name, "sample", "--folder", "run", "--prompt", "MAN", "--length", "20")
        assert (run / "samples.txt").read_bytes().startswith(b"MAN")
    elif name in ("speech", "speech_samples"):
        prompt = wavfile.read(place.folder / "sounds" / "0.wav")[1]
        options = ["--prompt", "sounds/0.wav", "--seconds", "0.25"]
        place.run(name, "sample", "--folder", "run", *options)
        rate, drawn = wavfile.read(run / "samples.wav")
        assert rate == 8000
        assert len(drawn) == len(prompt) + 2000
        quiet = abs(prompt.astype(float)) < 20000
        lost = 600 if name == "speech" else 0  # to mu-law
        np.testing.assert_allclose(drawn[: len(prompt)][quiet], prompt[quiet], atol=lost)
    elif name in ("chorales", "mnist_any_order", "mnist_order_agnostic"):
        before = (run / "samples.png").read_bytes()
        count = "--pieces" if name == "chorales" else "--images"
        place.run(name, "sample", "--folder", "run", count, "1")
        assert (run / "samples.png").read_bytes() != before
    else:
        before = (run / "samples.png").read_bytes()
        image = "dark8.png" if name == "digits" else "dark28.png"
        options = ["--known", "0.5", "--image", image, "--columns", "1"]
        place.run(name, "sample", "--folder", "run", *options)
        assert (run / "samples.png").read_bytes() != before


def test_sampling_draws_with_the_sampler_that_is_asked_for(trained):
    place, name, run, _ = trained
    if name == "mnist_made":
        before = (run / "samples.png").read_bytes()
        options = ["--sampler.temperature", "0.5", "--columns", "10"]
        place.run(name, "sample", "--folder", "run", *options)
        assert (run / "samples.png").read_bytes() != before


def test_files_come_back(trained):
    place, name, _, _ = trained
    if name in FILES:
        files, _ = FILES[name]
        place.run(name, "compress", *files, "--to", "files.arj", "--folder", "run")
        output = place.run(name, "decompress", "files.arj", "--to", "back", "--folder", "run")
        for file in files:
            back = place.folder / "back" / Path(file).name
            assert f"Wrote back/{back.name}: {back.stat().st_size:,} bytes" in output
            if back.suffix == ".png":
                assert np.array_equal(Image.open(back), Image.open(place.folder / file))
            else:
                assert back.read_bytes() == (place.folder / file).read_bytes()


def test_held_out_data_comes_back_from_another_process_and_codecs_stand_beside_it(trained):
    place, name, _, _ = trained
    if name in FILES:
        counts = ["--images", "2", "--characters", "300", "--seconds", "0.02", "--sequences", "3"]
        option = f"--{FILES[name][1]}"
        result = place.start("compression", option, "run", *counts, "--folder", "page")
        assert result.returncode == 0, result.stderr
        ((title, found),) = json.loads(
            (place.folder / "page" / "figures.json").read_bytes()
        ).items()
        payload = found["ours"] - found["header"]
        # The coder ends in a word of 32 bits, and rounds probabilities to 24 bits.
        assert payload == pytest.approx(found["likelihood_bytes"], rel=0.005, abs=8)
        codecs = {"gzip -9", "bzip2 -9", "xz -9e"}
        codecs |= {
            "speech": {"FLAC -8"},
            "Fashion-MNIST": {f"{f}, one {n}" for f in ("PNG", "WebP") for n in ("each", "sheet")},
        }.get(title, set())
        assert set(found["codecs"]) == codecs
        page = (place.folder / "page" / "README.md").read_text(encoding="utf-8")
        assert f"**{found['ours']:,}**" in page
        assert (place.folder / "page" / "sizes.png").read_bytes().startswith(b"\x89PNG")


MISTAKES = [
    (
        "digits",
        ["--debug", "--folder", "run", "--training.seed", "1"],
        "folder: expected a new one",
    ),
    ("digits", ["tarin"], "verb: expected one of train, evaluate, sample, compress, "),
    ("digits", ["evaluate", "--folder", "nowhere"], "folder: expected that of a run, got nowhere"),
    ("digits", ["--batch-size", "0"], "batch_size: expected at least 1, got 0"),
    ("digits", ["--training.seed", "-1"], "seed: expected at least 0, got -1"),
    ("digits", ["sample", "--folder", "run", "--sampler.top-p", "0"], "top_p: expected above 0"),
    ("digits", ["sample", "--folder", "run", "--columns", "999"], "columns: expected 1 ... "),
    ("mnist_made", ["--data.dir", "nowhere"], "mnist: expected a prepared data set in nowhere"),
    ("mnist_made", ["sample", "--folder", "run", "--known", "2"], "known: expected a share"),
    (
        "mnist_made",
        ["sample", "--folder", "run", "--image", "dark8.png"],
        "known: expected a share",
    ),
    (
        "mnist_made",
        ["sample", "--folder", "run", "--image", "no.png", "--known", "0.5"],
        "no.png: expected a file",
    ),
    (
        "mnist_made",
        ["sample", "--folder", "run", "--image", "dark8.png", "--known", "0.5"],
        "image: expected shape [28, 28, 1], as the model's, got dark8.png of [8, 8, 1]",
    ),
    ("mnist_made", ["--debug", "--folder", "run"], "folder: expected a new one or one with this"),
    ("mnist_pixelcnn", ["evaluate", "--folder", "other"], "folder: expected a new one or one with"),
    ("shakespeare_transformer", ["sample", "--folder", "run", "--prompt", "é"], "'é'"),
    ("shakespeare_transformer", ["sample", "--folder", "run", "--prompt", ""], "prompt: expected"),
    ("shakespeare_transformer", ["sample", "--folder", "run", "--length", "0"], "length: expected"),
    ("speech", [], "data.path: expected a folder of recordings"),
    ("text", [], "data.path: expected a text, got none"),
    ("text", ["compress", "--folder", "run"], "files: expected one at least"),
    ("text", ["compress", "no.txt", "--folder", "run"], "file: expected one to read, got no.txt"),
    ("text", ["compress", "empty.txt", "--folder", "run"], "files: expected something to compress"),
    (
        "text",
        ["compress", "sentences.txt", "--folder", "run", "--to", "run/samples.txt"],
        "to: expected a new file, got run/samples.txt",
    ),
    (
        "text",
        ["decompress", "sentences.txt", "--folder", "run"],
        "data: expected compressed events",
    ),
    ("text", ["decompress", "again.arj", "--folder", "run"], "to: expected a new file, got note"),
    (
        "text",
        ["decompress", "again.arj", "--folder", "run", "--to", "note.txt"],
        "to: expected a folder, got note.txt: File exists",
    ),
    (
        "text",
        ["decompress", "again.arj", "--folder", "run", "--to", "note.txt/x"],
        "to: expected a folder, got note.txt/x: Not a directory",
    ),
    (
        "text",
        ["decompress", "again.arj", "--folder", "run", "--to", "new", "--limit", "3"],
        "files: expected 3 variables at most, got 30 steps; see limit",
    ),
    (
        "text",
        ["compress", "note.txt", "--folder", "run", "--limit", "3"],
        "files: expected 3 variables at most, got 30 steps; see limit",
    ),
    (
        "text",
        ["compress", "sentences.txt", "--folder", "run", "--to", "nodir/c.arj"],
        "to: expected a file that can be written, got nodir/c.arj: No such file or directory",
    ),
    (
        "text",
        ["compress", "sentences.txt", "--folder", "run", "--to", "note.txt/c.arj"],
        "to: expected a file that can be written, got note.txt/c.arj: Not a directory",
    ),
    (
        "text",
        ["compress", "sentences.txt", "--folder", "run", "--to", "n" * 256],
        "n: File name too long",
    ),
    ("speech_samples", ["compress", "dark28.png", "--folder", "run"], "dark28.png: expected"),
    ("fashion_transformer", ["compress", "wide.npy", "--folder", "run"], "wide.npy: expected valu"),
    ("fashion_transformer", ["compress", "empty.txt", "--folder", "run"], "expected .png or .npy"),
    ("digits", ["compress", "dark8.png", "--folder", "run"], "files: expected an experiment that"),
    ("chorales", [], "data.path: expected an .npz of chorales"),
    ("chorales", ["--data.path", "short.npz"], "add up to 2000, got ones"),
    ("chorales", ["sample", "--folder", "run", "--pieces", "0"], "pieces: expected at least 1"),
]


def test_a_mistake_ends_in_a_line_that_says_what_to_do(trained, monkeypatch, capsys):
    place, trained_name, run, _ = trained
    if trained_name == "text":
        place.run("text", "compress", "note.txt", "--to", "again.arj", "--folder", "run")
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("TFDS_DATA_DIR", place.environment["TFDS_DATA_DIR"])
    other = place.folder / "other"  # as `run`, but made by a program that has changed since
    shutil.copytree(run, other)
    (other / "config.json").write_text("{}", encoding="utf-8")
    before = {p: p.read_bytes() for p in place.folder.rglob("*") if p.is_file()}
    for name, arguments, message in MISTAKES:
        if name == trained_name:
            monkeypatch.setattr(sys, "argv", [name, *arguments])
            with pytest.raises(SystemExit) as stopped:
                main(DEFAULTS[name], "")
            output = str(stopped.value)
            assert message in (capsys.readouterr().err if output == "2" else output)  # 2: by tyro
            assert "\n" not in output
    assert not (place.folder / "new").exists()
    assert before == {p: p.read_bytes() for p in place.folder.rglob("*") if p.is_file()}
