"""What tells a run from another."""

import dataclasses
import json
import platform
from importlib.metadata import version

import jax.numpy as jnp
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.data import Arrays, Chunks, training_batches
from ar_jax.objectives import MaskedDiffusion, MaximumLikelihood, RandomMember, RandomOrder
from ar_jax.training import AdamW, Training, fingerprint
from ar_jax.training.fingerprint import Fingerprint, describe, differences, surroundings

MODEL = ar.AutoregressiveModel(
    ordering=ar.orderings.Raster((4,)),
    conditional=ar.conditionals.MADE(hidden=(8,)),
    head=ar.heads.Categorical(256),
)
X = np.random.default_rng(0).integers(0, 256, (500, 4), np.uint8)


def flipped(x, rng):
    return x[:, ::-1]


def of(x=X, seed=0, size=16, transform=lambda x, rng: x, **training):
    batches = training_batches(Arrays(x), size, seed, transform)
    return Fingerprint.of(MODEL, Training(**training), batches)


def edited(row):
    x = X.copy()
    x[row, 2] ^= 1
    return x


def test_the_same_data_has_the_same_fingerprint():
    assert of() == of(X.copy())


@pytest.mark.parametrize(
    "other",
    [
        {"x": edited(0)},
        {"x": edited(499)},
        {"x": edited(250)},
        {"x": X[:-1]},
        {"x": X.astype(np.int32)},
        {"seed": 1},
        {"size": 8},
        {"transform": flipped},
    ],
    ids=["first row", "last row", "a row", "count", "dtype", "order", "batch size", "transform"],
)
def test_other_data_has_another_fingerprint(other):
    assert of(**other).data != of().data
    assert of(**other).model == of().model


def test_a_source_is_found_below_what_was_mapped_over_its_batches():
    batches = training_batches(Arrays(X), 16).map(lambda batch: batch | {"x": batch["x"] // 2})
    data = Fingerprint.of(MODEL, Training(), batches).data
    assert data["examples"] == 500
    assert data["source"] == of().data["source"]
    assert data["batches"] != of().data["batches"]


def test_of_a_large_source_rows_are_looked_at_from_the_first_to_the_last(monkeypatch):
    monkeypatch.setattr(fingerprint, "BYTES", 400)  # 100 rows of 500
    asked = []

    class Noted(Arrays):
        def batch(self, rows):
            asked.extend(rows.tolist())
            return super().batch(rows)

    list(fingerprint._looked_at(Noted(X)))
    assert asked.pop(0) == 0  # for its size
    assert len(asked) == 100
    assert (asked[0], asked[-1]) == (0, 499)
    assert set(np.diff(asked)) == {5, 6}


def test_a_text_edited_anywhere_is_another_one():
    text = np.random.default_rng(0).integers(0, 256, (3000, 1), np.uint8)

    def of_text(text):
        return Fingerprint.of(MODEL, Training(), training_batches(Chunks(text, 4), 16)).data

    changed = text.copy()
    changed[1234] ^= 1
    assert of_text(changed) != of_text(text)


@dataclasses.dataclass(frozen=True)
class Given:
    """A part with all kinds of fields."""

    array: object = dataclasses.field(default_factory=lambda: np.arange(3))
    function: object = jnp.tanh
    kind: object = jnp.float32
    thing: object = dataclasses.field(default_factory=object)
    table: object = dataclasses.field(default_factory=lambda: {"a": (1, None, "b", 0.5)})


def test_a_description_is_the_same_at_every_start():
    """No address stands in it, and it is JSON."""
    one, other = describe(Given()), describe(Given())
    assert one == other == json.loads(json.dumps(one))
    assert one["class"] == "Given"
    assert one["table"] == {"a": [1, None, "b", 0.5]}
    assert one["array"].startswith("int64 [3] sha256:")
    assert describe(Given(array=np.arange(1, 4))) != one
    assert describe(Given(function=jnp.sin)) != one


def test_differences_are_named_by_their_path():
    recorded = {"a": {"b": [1, {"c": 2}]}, "gone": 1, "nan": float("nan"), "d": [1]}
    given = {"a": {"b": [1, {"c": 3}]}, "nan": float("nan"), "d": [1, 2], "new": {"e": 1}}
    assert list(differences(recorded, given)) == [
        ("a.b.1.c", "2", "3"),
        ("gone", "1", "nothing"),
        ("d", "[1]", "[1, 2]"),
        ("new", "nothing", '{"e": 1}'),
    ]


def test_the_surroundings_are_recorded():
    here = surroundings()
    for package in ("jax", "jaxlib", "numpy", "flax", "optax"):
        assert here[package] == version(package)
    assert here["python"] == platform.python_version()
    assert here["devices"] == "8 x cpu"
    assert here["cores"] >= 1
    json.dumps(here)


WIDER = MODEL.clone(conditional=ar.conditionals.MADE(hidden=(9,)))


def test_a_run_goes_on_with_what_it_began_with_only(tmp_path):
    of().write(tmp_path, 0)
    assert of().check_same(tmp_path) == []
    changes = of(steps=3000, log_every=7, micro_batches=2).check_same(tmp_path)
    assert changes == [
        "training.steps: 3000, was 2000",
        "training.micro_batches: 2, was 1",
        "training.log_every: 7, was 20",
    ]
    before = (tmp_path / "run.json").read_bytes()
    others = {
        r"training\.optimizer\.learning_rate: expected 0.001": of(optimizer=AdamW(0.1)),
        r"training\.ema_decay: expected 0.999": of(ema_decay=0.5),
        r"data\.batches: expected \"sha256": of(seed=1),
        r"data\.source: expected": of(edited(300)),
        r"data\.examples: expected 500": of(X[1:]),
        r"model\.conditional\.hidden": dataclasses.replace(of(), model=describe(WIDER)),
    }
    for message, other in others.items():
        where = rf"run in {tmp_path} began \(see its run\.json\), got .*; give what it began"
        with pytest.raises(ValueError, match=rf"^{message}.*{where}"):
            other.check_same(tmp_path)
    assert (tmp_path / "run.json").read_bytes() == before


@pytest.mark.parametrize(
    "content", [None, b"", b"[]", b"{", b"\0" * 9, b"\xff", b"{}", b'{"starts": []}']
)
def test_without_a_record_that_can_be_read_a_run_goes_on_and_says_so(tmp_path, content):
    path = tmp_path / "run.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"run\.json: expected what the run was given"):
        assert of().check_same(tmp_path) == []
    of().write(tmp_path, 3)
    assert of().check_same(tmp_path) == []
    if content is not None:
        assert (tmp_path / "run.json.damaged").read_bytes() == content


def test_other_versions_and_machines_are_told_and_recorded(tmp_path, monkeypatch):
    of().write(tmp_path, 0)
    of().write(tmp_path, 5)  # here again: nothing to tell
    now = surroundings()
    monkeypatch.setattr(fingerprint, "surroundings", lambda: now | {"jax": "9.9", "cores": 999})
    with pytest.warns(UserWarning, match=rf"jax 9.9, was {version('jax')}; cores 999, was "):
        of().write(tmp_path, 7)
    starts = json.loads((tmp_path / "run.json").read_bytes())["starts"]
    assert [start["step"] for start in starts] == [0, 7]
    assert [start["cores"] for start in starts] == [now["cores"], 999]
    of().write(tmp_path, 0)  # a new run, whose past is none
    assert len(json.loads((tmp_path / "run.json").read_bytes())["starts"]) == 1


@pytest.mark.parametrize(
    ("kind", "objective"),
    [
        ("AutoregressiveModel", MaximumLikelihood()),
        ("AnyOrderModel", RandomOrder()),
        ("OrderAgnosticModel", MaskedDiffusion()),
        ("Ensemble", RandomMember()),
    ],
)
def test_a_run_of_before_there_were_objectives_goes_on_with_that_of_its_model(
    tmp_path, kind, objective
):
    before = {"model": {"class": kind}, "training": {}, "data": {}, "starts": []}
    (tmp_path / "run.json").write_text(json.dumps(before), "utf-8")

    def given(objective):
        return Fingerprint({"class": kind}, {}, {}, describe(objective))

    assert given(objective).check_same(tmp_path) == []
    other = RandomOrder() if isinstance(objective, MaximumLikelihood) else MaximumLikelihood()
    with pytest.raises(ValueError, match=rf"objective.*{type(objective).__name__}.* got "):
        given(other).check_same(tmp_path)
