"""Dependencies point one way, so that adding a model is adding one file."""

import ast
from pathlib import Path

import pytest

import ar_jax

ROOT = Path(ar_jax.__file__).parent
BELOW = {  # what the files of each part may import of ar_jax, besides themselves
    "checks": set(),
    "configuration": set(),
    "durable": set(),
    "former_names": set(),
    "math": set(),
    "orderings": {"checks"},
    "nn": {"checks", "orderings"},
    "decoding": {"checks"},
    "contexts": {"checks", "nn"},
    "heads": {"checks", "math"},
    "conditionals": {"checks", "former_names", "math", "nn", "orderings"},
    "models": {"checks", "conditionals", "contexts", "decoding", "heads", "nn", "orderings"},
    "flows": {
        "checks",
        "conditionals",
        "contexts",
        "decoding",
        "heads",
        "math",
        "models",
        "nn",
        "orderings",
    },
    "inference": {"checks", "contexts", "decoding", "heads", "models", "orderings"},
    "objectives": {"checks", "models"},
    "interop": {
        "checks",
        "conditionals",
        "contexts",
        "durable",
        "heads",
        "models",
        "nn",
        "orderings",
    },
    "data": {"checks", "durable", "math"},
    "datasets": {"checks", "data", "durable", "math"},
    "training": {"checks", "configuration", "durable", "models", "objectives"},
    "evaluation": {"checks", "data", "models", "objectives", "training"},
}
BELOW["experiment"] = set(BELOW)


def imported(path: Path) -> set[str]:
    """The parts of ar_jax that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    parts = {path.relative_to(ROOT).parts[0] for path in ROOT.rglob("*.py")}
    parts = {part.removesuffix(".py") for part in parts}
    return {n.split(".")[1] for n in names if n.startswith("ar_jax.")} & parts | {
        "experiments" for n in names if n.split(".")[0] == "experiments"
    }


def without_encoding(call: ast.Call) -> bool:
    """Whether a call reads or writes text in whatever encoding the system has."""
    given = {key.arg: key.value for key in call.keywords}
    method = isinstance(call.func, ast.Attribute)
    name = call.func.attr if method else getattr(call.func, "id", "")
    mode = [*call.args[not method :][:1], *([given["mode"]] if "mode" in given else [])]
    text = {
        "read_text": method and not call.args,
        "write_text": method and len(call.args) == 1,
        "open": isinstance(mode[0], ast.Constant) and set(str(mode[0].value)) <= set("rwax+t")
        if mode
        else len(call.args) == (not method),
    }
    piped = ast.unparse(given.get("text", given.get("universal_newlines", call))) == "True"
    return (text.get(name, False) or piped) and "encoding" not in given


def test_text_is_read_and_written_in_a_named_encoding():
    """Ruff's PLW1514 knows only the paths whose type it can infer, and no processes."""
    wrong = ("p.read_text()", "p.open()", "p.open('a')", "open(p)", "open(p, mode='w')")
    wrong += ("p.write_text(s)", "subprocess.run(c, text=True)")
    right = ("p.open('rb')", "open(p, 'wb')", "Image.open(p)", "os.open(p, 0)", "read_text(p)")
    for line in wrong + right:
        assert without_encoding(ast.parse(line, mode="eval").body) == (line in wrong), line
    top = ROOT.parent
    for path in [p for d in ("ar_jax", "experiments", "tests") for p in (top / d).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = not (isinstance(node, ast.Call) and without_encoding(node))
            assert named, f"{path}:{node.lineno}: name encoding"


@pytest.mark.parametrize("part", BELOW)
def test_a_part_imports_only_what_lies_below_it(part):
    files = [*ROOT.glob(f"{part}.py"), *(ROOT / part).glob("*.py")]
    assert files
    for path in files:
        assert imported(path) <= BELOW[part] | {part}, path


def test_every_part_has_its_place():
    parts = {p.stem for p in ROOT.glob("*.py")} | {p.parent.name for p in ROOT.glob("*/*.py")}
    assert parts - {"__init__", "testing"} == set(BELOW)


def test_only_parallel_names_devices():
    for path in ROOT.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        names = ["jax.pmap(", "jax.devices(", "device_count(", "jax.sharding import"]
        if path.name != "parallel.py":
            assert not [name for name in names if name in text], path
