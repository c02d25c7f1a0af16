"""GPT-2 and Llama compute what `transformers` computes with the same weights, and go back."""

import itertools
import json
import os
import resource
import shutil
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import ar_jax as ar
from ar_jax import interop
from ar_jax.nn import Learned, Rotary
from ar_jax.orderings import Raster
from tests.mutations import check_damaged

os.environ["HF_HUB_OFFLINE"] = "1"

import transformers
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)

VOCABULARY, POSITIONS, DRAWN = 101, 256, 200
PROMPTS = [[5, 3, 8], [17], [2, 90, 41, 41, 7, 60, 33]]


def gpt2(layers, width, heads, **options):
    return GPT2Config(
        vocab_size=VOCABULARY, n_positions=POSITIONS, n_layer=layers, n_embd=width, n_head=heads,
        bos_token_id=None, eos_token_id=None, **options,
    )  # fmt: skip


def llama(layers, width, heads, hidden, **options):
    return LlamaConfig(
        vocab_size=VOCABULARY, max_position_embeddings=POSITIONS, num_hidden_layers=layers,
        hidden_size=width, num_attention_heads=heads, intermediate_size=hidden,
        bos_token_id=None, eos_token_id=None, **options,
    )  # fmt: skip


CONFIGS = {
    "gpt2": gpt2(2, 32, 4),
    "gpt2-untied": gpt2(
        3, 48, 3, n_inner=40, activation_function="relu", tie_word_embeddings=False
    ),
    "llama": llama(2, 32, 4, 48, rope_parameters={"rope_type": "default", "rope_theta": 5e5}),
    "llama-grouped": llama(3, 64, 8, 72, num_key_value_heads=2, rms_norm_eps=1e-5),
    "llama-tied": llama(2, 32, 4, 40, num_key_value_heads=1, tie_word_embeddings=True),
}  # fmt: skip


def random_peer(config):
    """Biases and scales are random too, and what the blocks add outweighs the embedding."""
    torch.manual_seed(0)
    peer = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            scale = min(parameter.shape) ** -0.5 * (2.0 if ".0." in name or ".1." in name else 1.0)
            parameter.add_(torch.randn_like(parameter) * (0.2 if parameter.ndim == 1 else scale))
    return peer


@pytest.fixture(scope="module", params=CONFIGS)
def checkpoint(request, tmp_path_factory):
    """A folder that `transformers` wrote, and the model in it."""
    folder = tmp_path_factory.mktemp(request.param)
    peer = random_peer(CONFIGS[request.param])
    peer.save_pretrained(folder)
    return folder, peer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a GPT-2: not to be changed."""
    folder = tmp_path_factory.mktemp("gpt2")
    random_peer(CONFIGS["gpt2"]).save_pretrained(folder)
    return folder


def load(folder, length, **options):
    """With an event shorter than there are positions."""
    model, variables = interop.load(folder, **options)
    return model.clone(ordering=Raster((length,))), variables


def logits_of(peer, tokens):
    with torch.no_grad():
        return peer(torch.tensor(tokens)).logits.numpy()


def test_logits_agree(checkpoint):
    folder, peer = checkpoint
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (3, 41))
    model, variables = load(folder, 40)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == peer.num_parameters()

    def logits(model, x, condition):
        steps = model.ordering.to_steps(x)
        encoded = model.head.encode(steps)
        context = model.head.encode(condition)[:, None], jnp.ones((len(x), 1), bool)
        width = model.conditional.width
        features = model.conditional(encoded, model.ordering, context, width)
        return model.head.logits(features)

    arguments = tokens[:, 1:], tokens[:, :1]
    got = model.apply(variables, *arguments, method=logits)
    expected = logits_of(peer, tokens[:, :-1])
    assert np.std(expected) > 0.5
    np.testing.assert_allclose(got, expected, atol=1e-4)

    log_softmax = jax.nn.log_softmax(expected.astype(float))
    each = np.take_along_axis(log_softmax, tokens[:, 1:, None], axis=-1)[..., 0]
    np.testing.assert_allclose(model.apply(variables, *arguments), each.sum(axis=1), atol=1e-3)


def test_prompts_of_different_lengths_go_on_as_they_do_in_transformers(checkpoint):
    folder, peer = checkpoint
    longest = max(map(len, PROMPTS))
    length = longest - 1 + DRAWN
    model, variables = load(folder, length)
    padded = np.array([prompt + [0] * (longest - len(prompt)) for prompt in PROMPTS])
    drawn = ar.sample(
        model, variables, jax.random.key(0), condition=padded[:, :1], prefix=padded[:, 1:, None],
        prefix_lengths=np.array([len(prompt) - 1 for prompt in PROMPTS]),
        sampler=ar.Sampler(temperature=0.0),
    )  # fmt: skip
    got = np.concatenate([padded[:, :1], drawn], axis=1)
    for row, prompt in zip(got, PROMPTS, strict=True):
        expected = peer.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), do_sample=False,
            max_new_tokens=DRAWN, pad_token_id=0,
        )[0]  # fmt: skip
        assert len(expected) == len(prompt) + DRAWN
        np.testing.assert_array_equal(row[: len(expected)], expected)
        assert len(np.unique(row)) > 10  # no loop of a few tokens


def test_what_is_saved_loads_in_transformers_with_the_same_logits(checkpoint, tmp_path):
    folder, peer = checkpoint
    model, variables = interop.load(folder)
    interop.save(tmp_path / "saved", model, variables)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (2, POSITIONS))
    np.testing.assert_array_equal(logits_of(again, tokens), logits_of(peer, tokens))
    ours, theirs = (load_file(at / "model.safetensors") for at in (tmp_path / "saved", folder))
    assert ours.keys() == theirs.keys()
    written, original = (
        json.loads((at / "config.json").read_bytes()) for at in (tmp_path / "saved", folder)
    )
    left_out = "dropout", "pdrop", "summary", "use_cache", "version", "range", "pretraining", "pad"
    for name, value in original.items():
        if not any(word in name for word in left_out):
            assert written.get(name, value) == value, name
    assert written["max_position_embeddings" if "llama" in folder.name else "n_positions"] == 256


def test_half_precision_is_read_and_computed_in(folder, tmp_path):
    peer = AutoModelForCausalLM.from_pretrained(folder).to(torch.bfloat16)
    peer.save_pretrained(tmp_path / "half")
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (2, 21))
    model, wide = load(tmp_path / "half", 20)
    assert {leaf.dtype for leaf in jax.tree.leaves(wide)} == {jnp.dtype(jnp.float32)}
    expected = logits_of(peer.float(), tokens[:, :-1]).astype(float)
    each = np.take_along_axis(jax.nn.log_softmax(expected), tokens[:, 1:, None], axis=-1)[..., 0]
    arguments = tokens[:, 1:], tokens[:, :1]
    np.testing.assert_allclose(model.apply(wide, *arguments), each.sum(axis=1), atol=1e-3)
    _, half = load(tmp_path / "half", 20, dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(half)} == {jnp.dtype(jnp.bfloat16)}
    got = model.apply(half, *arguments, method="step_log_probs")
    np.testing.assert_allclose(got, each, atol=0.3)  # of logits about 10, to 3 digits
    interop.save(tmp_path / "again", model, half)
    for name, tensor in load_file(tmp_path / "again" / "model.safetensors").items():
        np.testing.assert_array_equal(
            tensor, load_file(tmp_path / "half" / "model.safetensors")[name]
        )


def test_a_checkpoint_of_several_files_is_read(folder, tmp_path):
    peer = AutoModelForCausalLM.from_pretrained(folder)
    peer.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    for got, expected in zip(
        *(jax.tree.leaves(interop.load(at)[1]) for at in (tmp_path, folder)), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
    next(tmp_path.glob("*.safetensors")).unlink()
    with pytest.raises(FileNotFoundError, match=r"folder: expected model-.* in it, got"):
        interop.load(tmp_path)


def test_the_names_of_the_first_release_are_read(folder, tmp_path):
    """Without the prefix, with the masks as constants and the tied matrix twice."""
    shutil.copy(folder / "config.json", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    mask = np.tri(POSITIONS, dtype=np.float32)[None, None]
    tensors |= {
        "h.0.attn.bias": mask,
        "h.1.attn.bias": mask,
        "lm_head.weight": tensors["wte.weight"],
    }
    save_file(tensors, tmp_path / "model.safetensors")
    for dtype in (jnp.float32, jnp.bfloat16):
        once, twice = (jax.tree.leaves(interop.load(at, dtype)[1]) for at in (folder, tmp_path))
        for expected, got in zip(once, twice, strict=True):
            np.testing.assert_array_equal(got, expected)


def test_older_configurations_of_llama_are_read(tmp_path):
    peer = random_peer(CONFIGS["llama"])
    peer.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_bytes())
    del config["rope_parameters"], config["num_key_value_heads"], config["head_dim"]
    path.write_text(
        json.dumps({**config, "rope_theta": 5e5, "rope_scaling": None}), encoding="utf-8"
    )
    model, _ = interop.load(tmp_path)
    assert model.conditional.positions == Rotary(base=5e5)
    assert model.conditional.key_value_heads == 4


REFUSED = [
    ("gpt2", {"model_type": "mistral"}, 'model_type: expected "gpt2" or "llama", got "mistral"'),
    ("gpt2", {"n_layer": None}, r"n_layer: expected an integer 1 \.\.\. 1024, got null"),
    ("gpt2", {"n_head": "4"}, r'n_head: expected an integer 1 \.\.\. \d+, got "4"'),
    ("gpt2", {"activation_function": "gelu"}, 'activation_function: expected .* got "gelu"'),
    ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights: expected true, got false"),
    (
        "gpt2", {"scale_attn_by_inverse_layer_idx": True},
        "scale_attn_by_inverse_layer_idx: expected false, got true",
    ),
    ("gpt2", {"add_cross_attention": True}, "add_cross_attention: expected false, got true"),
    ("gpt2", {"layer_norm_epsilon": 0}, "layer_norm_epsilon: expected a finite number .* got 0"),
    ("gpt2", {"tie_word_embeddings": 1}, "tie_word_embeddings: expected true or false, got 1"),
    ("llama", {"hidden_act": "gelu"}, 'hidden_act: expected "silu", got "gelu"'),
    ("llama", {"attention_bias": True}, "attention_bias: expected false, got true"),
    ("llama", {"mlp_bias": True}, "mlp_bias: expected false, got true"),
    ("llama", {"head_dim": 4}, "head_dim: expected 8, got 4"),
    (
        "llama", {"rope_parameters": {"rope_type": "llama3", "factor": 8.0}},
        'rope_type: expected "default", got "llama3"',
    ),
    ("llama", {"rope_scaling": {"type": "linear"}}, 'type: expected "default", got "linear"'),
    ("llama", {"rope_parameters": 3}, "rope_parameters: expected an object, got 3"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "change", "message"), REFUSED, ids=lambda x: str(x)[:30])
def test_an_option_that_the_model_has_not_is_refused_by_its_name(tmp_path, kind, change, message):
    entries = CONFIGS[kind].to_dict() | {"model_type": kind} | change
    (tmp_path / "config.json").write_text(json.dumps(entries), encoding="utf-8")
    with pytest.raises(ValueError, match=f"^config.json, {message}"):
        interop.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"h.1.ln_1.bias": None}, "expected h.1.ln_1.bias, got no such tensor"),
        ({"wpe.weight": np.zeros((9, 32), "f")}, r"wpe.weight: expected shape \[256, 32\], .* \[9"),
        ({"wpe.weight": np.zeros((256, 32), "i")}, "wpe.weight: expected one of F16, .* got I32"),
        ({"wpe.weight": np.full((256, 32), np.nan, "f")}, "wpe.weight: expected finite numbers in"),
        ({"ln_f.bias": np.full(32, np.inf, "f")}, "ln_f.bias: expected finite numbers in float32"),
        ({"ln_f.bias": np.full(32, 1e39)}, "ln_f.bias: .* got NaN, infinity or what is too large"),
        ({"h.0.attn.q": np.zeros(3, "f")}, "expected the model's tensors only, got h.0.attn.q"),
        (
            {"lm_head.weight": np.zeros((VOCABULARY, 32), "f")},
            "lm_head.weight: expected the embedding's values",
        ),
        ({"lm_head.weight": np.zeros(3, "f")}, r"lm_head.weight: expected shape \[101, 32\], as"),
    ],
)
def test_a_tensor_that_the_model_has_not_is_refused_by_its_name(folder, tmp_path, change, message):
    shutil.copy(folder / "config.json", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors |= {f"transformer.{name}": tensor for name, tensor in change.items()}
    save_file({k: v for k, v in tensors.items() if v is not None}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=f"^model.safetensors.*{message}"):
        interop.load(tmp_path)


def test_a_tensor_of_two_names_or_files_is_refused(folder, tmp_path):
    shutil.copy(folder / "config.json", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    twice = tensors | {"wte.weight": tensors["transformer.wte.weight"]}
    save_file(twice, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"^model.safetensors, .*wte.weight: .* got it twice"):
        interop.load(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "a.safetensors")
    shutil.copy(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    index = {"weight_map": {"1": "a.safetensors", "2": "b.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ValueError, match=r"^b.safetensors, .*: expected it in one file, got it in"):
        interop.load(tmp_path)


SIZES = {
    "gpt2": ["n_positions", "n_embd", "n_layer", "n_head", "n_inner", "vocab_size"],
    "llama": [
        "max_position_embeddings", "hidden_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "intermediate_size", "vocab_size", "head_dim",
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", SIZES)
def test_a_size_that_no_tensor_has_is_refused_before_anything_is_of_that_size(kind, tmp_path):
    """Seconds would pass, or the memory be filled, if one of them were traced or allocated."""
    random_peer(CONFIGS[kind]).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    entries = json.loads(path.read_bytes())
    start, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, size in itertools.product(SIZES[kind], [1023, 10**9, 10**10, 10**12, 10**30, -1]):
        path.write_text(json.dumps(entries | {name: size}), encoding="utf-8")
        if name == "max_position_embeddings" and 0 < size < 2**31:  # no tensor tells
            assert interop.load(tmp_path)[0].ordering.length == size
            continue
        with pytest.raises(ValueError, match=r"config.json|safetensors"):
            interop.load(tmp_path)
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 2**20  # of 1024 bytes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "expected JSON, got"),
        ('{"model_type": ' + "[" * 900 + "]" * 900 + "}", "model_type: .* got a list"),
        ("[]", "expected an object, got a list"),
        ("null", "expected an object, got null"),
        ('{"model_type": 1e999}', "model_type: expected"),
        ('{"model_type": "gpt2", "n_positions": ' + "9" * 9999 + "}", "expected JSON, got"),
        ('{"model_type": "\\ud800"}', "model_type: expected"),
        (" " * (2**24 + 1), "expected at most 16777216 bytes, got 16777217"),
    ],
    ids=lambda text: text[:20],
)
def test_whatever_a_configuration_holds_the_error_names_it(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"^config.json(, |: ){message}"):
        interop.load(tmp_path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e-60", "1e300", '"1"', "[]"])
@pytest.mark.parametrize(
    ("kind", "name"), [("gpt2", "layer_norm_epsilon"), ("llama", "rms_norm_eps")]
)
def test_an_epsilon_that_float32_has_not_is_refused(tmp_path, kind, name, number):
    entries = CONFIGS[kind].to_dict() | {"model_type": kind, name: 0}
    text = json.dumps(entries).replace(f'"{name}": 0', f'"{name}": {number}')
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"^config.json, {name}: expected a finite number above 0"):
        interop.load(tmp_path)


def test_a_byte_order_mark_of_a_configuration_is_left_out(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert interop.load(tmp_path)[0] == interop.load(folder)[0]


@pytest.mark.parametrize(
    "weight_map",
    [[], 3, None, {}, {"a": 3}, {"a": None}, {"a": "../good/model.safetensors"},
     {"a": "/etc/hosts"}, {"a": "model.safetensors\0"}, {"a": ""}, {"a": "."},
     {"a": "x" * 300 + ".safetensors"}],
    ids=str,
)  # fmt: skip
def test_an_index_names_files_of_its_folder_only(folder, tmp_path, weight_map):
    shutil.copytree(folder, tmp_path / "good")
    (tmp_path / "bad").mkdir()
    shutil.copy(folder / "config.json", tmp_path / "bad")
    index = tmp_path / "bad" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"^model.safetensors.index.json, weight_map: expected"):
        interop.load(tmp_path / "bad")


def test_a_link_leads_into_the_cache_of_the_hub_and_nowhere_else(folder, tmp_path):
    """`huggingface_hub` keeps `snapshots/REVISION/NAME` as links to `blobs/DIGEST`."""
    snapshot, blobs = tmp_path / "snapshots" / "1f0c", tmp_path / "blobs"
    snapshot.mkdir(parents=True)
    shutil.copytree(folder, blobs)
    for name in ("config.json", "model.safetensors"):
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    np.testing.assert_array_equal(
        *(interop.load(at)[1]["params"]["head"]["embed"]["embedding"] for at in (folder, snapshot))
    )
    shutil.copytree(folder, tmp_path / "other")
    for name in ("model.safetensors", "config.json"):
        (tmp_path / "other" / name).unlink()
        (tmp_path / "other" / name).symlink_to(blobs / name)
        with pytest.raises(ValueError, match=f"^{name}: expected a file in .*, got a link to"):
            interop.load(tmp_path / "other")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "a.index.json"])
def test_a_damaged_file_loads_or_is_named(tmp_path, name):
    """40 damaged copies of each; what loads has the shapes of the whole one."""
    config = GPT2Config(vocab_size=5, n_positions=6, n_layer=1, n_embd=8, n_head=1)
    random_peer(config).save_pretrained(tmp_path)
    shapes = jax.tree.map(np.shape, interop.load(tmp_path)[1])
    if name == "a.index.json":
        name = "model.safetensors.index.json"
        (tmp_path / "model.safetensors").rename(tmp_path / "a.safetensors")
        index = json.dumps({"metadata": {}, "weight_map": {"wte.weight": "a.safetensors"}})
        (tmp_path / name).write_text(index, encoding="utf-8")

    def read(path):
        try:
            return interop.load(path.parent)
        except FileNotFoundError as error:  # of the file that a damaged index names
            raise ValueError(f"{path.name}: {error}") from None
        except ValueError as error:  # of tensors that a damaged configuration asks for
            if name == "config.json" and str(error).startswith("model.safetensors"):
                raise ValueError(f"{path.name}: {error}") from None
            raise

    check_damaged(read, tmp_path / name, lambda got: jax.tree.map(np.shape, got[1]) == shapes, 40)


def test_parameters_that_are_not_finite_are_not_saved(folder, tmp_path):
    model, variables = interop.load(folder)
    broken = jax.tree.map(lambda leaf: leaf * np.nan, variables)
    with pytest.raises(ValueError, match=r"^params.*: expected finite numbers, got NaN in"):
        interop.save(tmp_path / "new", model, broken)
    assert not (tmp_path / "new").exists()


def test_parameters_are_of_a_dtype_of_real_numbers(folder):
    with pytest.raises(ValueError, match=r"^dtype: expected floating point, got int"):
        interop.load(folder, int)


def test_a_folder_without_a_checkpoint_is_refused(folder, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"expected that of a checkpoint, .* no config.json"
    ):
        interop.load(tmp_path)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"config.json: expected JSON, got"):
        interop.load(tmp_path)
    shutil.copy(folder / "config.json", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"expected model.safetensors in it, got"):
        interop.load(tmp_path)
    (tmp_path / "model.safetensors").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"model.safetensors: expected a safetensors file, got"):
        interop.load(tmp_path)


def test_a_failed_save_harms_no_folder(folder, tmp_path, monkeypatch):
    model, variables = interop.load(folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("kept", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"folder: expected a new one, got .*, which exists"):
        interop.save(tmp_path / "mine", model, variables)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes"]

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("ar_jax.interop.checkpoint.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        interop.save(tmp_path / "new", model, variables)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_entries_of_the_configuration_are_kept(folder, tmp_path):
    model, variables = load(folder, 10)
    interop.save(tmp_path / "new", model, variables, {"eos_token_id": 7, "n_layer": 99})
    config = json.loads((tmp_path / "new" / "config.json").read_bytes())
    assert (config["eos_token_id"], config["n_layer"], config["n_positions"]) == (7, 2, POSITIONS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": 3}, "conditional.window: expected 0 in a GPT2, got 3"),
        ({"positions": ar.nn.Sinusoidal()}, "conditional.positions: expected Learned"),
        (
            {"activation": "swiglu"},
            "conditional.activation: expected one of gelu, relu, quick_gelu",
        ),
        ({"positions": Rotary()}, "conditional.activation: expected swiglu in a Llama, got gelu"),
        (
            {"positions": Learned(places=300)},
            r"variables, .*table: expected shape \(300, 32\), got",
        ),
    ],
)
def test_a_model_that_the_family_has_not_is_not_saved(folder, tmp_path, change, message):
    model, variables = interop.load(folder)
    other = model.clone(conditional=model.conditional.clone(**change))
    with pytest.raises(ValueError, match=message):
        interop.save(tmp_path / "new", other, variables)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ordering": Raster((8, 2))}, "ordering: expected one axis of tokens"),
        ({"head": ar.heads.Bernoulli()}, "head: expected Categorical in a GPT2"),
        ({"head": ar.heads.Categorical(7)}, "context.vocabulary: expected the head's 7"),
        ({"head": ar.heads.Categorical(VOCABULARY)}, "head.unembedding: expected 'tied' or 'own'"),
        ({"conditional": ar.conditionals.GRU()}, "conditional: expected Transformer in a GPT2"),
    ],
)
def test_parts_that_no_language_model_has_are_not_saved(folder, tmp_path, change, message):
    model, variables = interop.load(folder)
    with pytest.raises(ValueError, match=message):
        interop.save(tmp_path / "new", model.clone(**change), variables)
