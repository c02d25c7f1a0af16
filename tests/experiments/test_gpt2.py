"""Text from a checkpoint: a small GPT-2 and Llama, with tokenisers of their own."""

import dataclasses
import os
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

import ar_jax as ar
from ar_jax import interop
from experiments import gpt2
from experiments.gpt2 import SampleText
from experiments.sequences import until

os.environ["HF_HUB_OFFLINE"] = "1"

import transformers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)

TEXT = "Größe ist ein Wort mit Umlaut, größer noch als die größten Wörter: 大きさ"
SAMPLER = ["--sampler.temperature", "0.7", "--sampler.top-k", "30"]


def byte_level():
    """As GPT-2's, in which a letter may be several tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=270, special_tokens=["<|end|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator([TEXT], trainer)
    return tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, tokenizer = tmp_path_factory.mktemp("gpt2"), byte_level()
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=tokenizer.get_vocab_size(), n_positions=64, n_layer=1, n_embd=16, n_head=2,
        initializer_range=0.5, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_a_process_streams_what_sample_draws(folder):
    arguments = ["sample", "--checkpoint", str(folder), "--prompt", "größer", "--length", "40"]
    result = subprocess.run(
        [sys.executable, "-m", "experiments.gpt2", *arguments, *SAMPLER, "--seed", "3"],
        capture_output=True, env=os.environ | {"PYTHONUTF8": "1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr.decode()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    prompt = np.array([tokenizer.encode("größer").ids])
    model, variables = interop.load(folder)
    short = model.clone(ordering=ar.orderings.Raster((prompt.shape[1] - 1 + 40,)))
    drawn = ar.sample(
        short, variables, jax.random.key(3), condition=prompt[:, :1], prefix=prompt[:, 1:, None],
        sampler=ar.Sampler(temperature=0.7, top_k=30),
    )  # fmt: skip
    expected = tokenizer.decode([*prompt[0, :1], *np.asarray(drawn)[0]])
    printed = result.stdout.decode().removesuffix("\n")
    assert printed.startswith("größer")
    assert len(printed) > len("größer") + 10
    # Bytes that are no letter yet are held back at the end.
    assert expected.startswith(printed)
    assert set(expected.removeprefix(printed)) <= {"\N{REPLACEMENT CHARACTER}"}


def test_the_text_ends_where_the_model_ends_it(folder, tmp_path, capsys):
    """Token 7 has the only logit that is not zero: the sum of 16 ones."""
    model, variables = interop.load(folder)
    variables = jax.tree.map(np.zeros_like, variables)
    variables["params"]["conditional"]["readout_norm"]["bias"][:] = 1
    variables["params"]["head"]["embed"]["embedding"][7] = 1
    interop.save(tmp_path / "ends", model, variables, {"eos_token_id": [3, 7]})
    byte_level().save(str(tmp_path / "ends" / "tokenizer.json"))
    greedy = SampleText(tmp_path / "ends", prompt="größer", sampler=ar.Sampler(temperature=0.0))
    gpt2.sample(dataclasses.replace(greedy, length=20))
    assert capsys.readouterr().out == "größer\n"


def test_a_llama_goes_on_too(tmp_path, capsys):
    """Words with marks of their spaces, and a token for the beginning that is not printed."""
    words = {word: i for i, word in enumerate(["<s>", "<unk>", "▁one", "▁two", "▁three"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<s>", "<unk>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    config = LlamaConfig(
        vocab_size=5, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=32, bos_token_id=0, eos_token_id=None,
        initializer_range=0.01,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    gpt2.sample(SampleText(tmp_path, prompt="one two", length=20))
    printed = capsys.readouterr().out
    assert printed.startswith("one two ")
    assert set(printed.split()) <= {"one", "two", "three"}
    assert len(printed.split()) > 2  # all 20 are unprinted with odds of 1e-8


def test_a_text_matches_its_pattern_with_the_alternatives_of_its_tokens(folder, capsys):
    options = SampleText(
        folder, prompt="größer", length=12, pattern="(noch|ein) (Wort){1,2}", alternatives=2,
        repetition_penalty=1.3,
    )  # fmt: skip
    gpt2.sample(options)
    text, *alternatives = capsys.readouterr().out.splitlines()
    assert re.fullmatch("größer(noch|ein) (Wort){1,2}", text)
    assert "".join(re.match("'(.*?)': ", line)[1] for line in alternatives) == text[6:]
    assert all(len(re.findall(r" [01]\.[0-9]{3}", line)) == 2 for line in alternatives)


def test_a_text_ends_before_a_stop_which_may_come_in_pieces():
    pieces = iter(["ab", "c\n", "\n\nd", "never taken"])
    assert "".join(until(pieces, ("\n\n", "x"))) == "abc"
    assert next(pieces) == "never taken"
    assert "".join(until(["a", "b\n"], ("\n\n",))) == "ab\n"
    assert "".join(until(["abcd"], ("d", "b", "c"))) == "a"  # the first in the text
    assert list(until(["a", "b"], ())) == ["a", "b", ""]


def test_ctrl_c_ends_the_text(folder, capsys, monkeypatch):
    def interrupted(*args, **kwargs):
        yield np.array([[7]])
        raise KeyboardInterrupt

    monkeypatch.setattr(ar, "stream", interrupted)
    gpt2.sample(SampleText(folder, prompt="größer", length=9))
    assert capsys.readouterr().out.startswith("größer")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt", ""], "prompt: expected a token at least, got ''"),
        (["--length", "0"], r"length: expected 1 \.\.\. 64, since the model has 64 positions"),
        (["--length", "65"], r"length: expected 1 \.\.\. 64, .* the prompt 1 tokens, got 65"),
        (["--checkpoint", "nowhere"], "folder: expected that of a checkpoint, got nowhere"),
        (["--length", "9", "--pattern", "("], "pattern: expected a regular expression without"),
        (["--length", "9", "--stop", ""], "stop: expected texts of one character at least"),
        (
            ["--length", "9", "--pattern", "a{99}"],
            "pattern: expected one that matches within the 9",
        ),
        (["--length", "9", "--sampler.top-p", "0"], "top_p: expected above 0 and at most 1, got 0"),
    ],
)
def test_a_mistake_ends_in_a_line_that_says_what_to_do(folder, arguments, message):
    with pytest.raises(SystemExit, match=f"^python -m experiments.gpt2: {message}"):
        gpt2.main(["sample", "--checkpoint", str(folder), *arguments])


def test_a_checkpoint_without_a_tokeniser_is_refused(folder, tmp_path):
    model, variables = interop.load(folder)
    interop.save(tmp_path / "bare", model, variables)
    with pytest.raises(SystemExit, match=r"checkpoint: expected tokenizer.json in it, got .*bare"):
        gpt2.main(["--checkpoint", str(tmp_path / "bare")])


def test_help_tells_how_to_use_it(capsys):
    gpt2.main(["--help"])
    assert "--prompt" in capsys.readouterr().out
