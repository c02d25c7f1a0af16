import gzip
import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ar_jax.contexts import Tokens
from ar_jax.data import BPE, Bytes, Characters, prompts
from tests.mutations import check_damaged

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VERSE = ["low low low low low", "lower lower", "newest newest newest", "widest widest widest"]


@pytest.fixture(scope="module")
def bpe():
    return BPE.train(VERSE * 3, 270)


@settings(deadline=None)
@given(TEXTS)
def test_bytes_give_every_text_back(text):
    tokens = Bytes().encode(text)
    assert tokens.dtype == np.int32
    assert len(tokens) == len(text.encode())
    assert Bytes().decode(tokens) == text


def test_bytes_are_those_of_utf_8():
    np.testing.assert_array_equal(Bytes().encode("aß€"), [97, 0xC3, 0x9F, 0xE2, 0x82, 0xAC])


def test_bytes_that_are_not_utf_8_are_replaced():
    assert Bytes().decode(np.array([97, 0xC3, 98])) == "a\ufffdb"


@settings(deadline=None)
@given(TEXTS.filter(bool))
def test_characters_give_back_every_text_of_their_vocabulary(text):
    characters = Characters.of(text)
    tokens = characters.encode(text)
    assert tokens.dtype == np.int32
    assert characters.vocabulary == len(set(text))
    assert characters.decode(tokens) == text


def test_characters_are_numbered_in_the_order_of_the_vocabulary():
    assert Characters.of("hello").symbols == "ehlo"
    np.testing.assert_array_equal(Characters("olhe").encode("hello"), [2, 3, 1, 1, 0])


def test_a_character_outside_the_vocabulary_is_named_with_its_place():
    with pytest.raises(ValueError, match="vocabulary 'abc', got 'é' at position 2") as error:
        Characters("abc").encode("abéc")
    assert "\n" not in str(error.value)


def test_a_line_end_outside_the_vocabulary_is_named_in_one_line():
    with pytest.raises(ValueError, match=r"got '\\n' at position 1") as error:
        Characters("ab").encode("a\nb")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("symbols", ["", "abca"])
def test_a_vocabulary_must_tell_characters_apart(symbols):
    with pytest.raises(ValueError, match="symbols: expected distinct characters"):
        Characters(symbols)


@pytest.mark.parametrize(("tokenizer", "high"), [(Bytes(), 255), (Characters("abc"), 2)])
@pytest.mark.parametrize("outside", [-1, 1])
def test_tokens_outside_the_vocabulary_are_refused(tokenizer, high, outside):
    token = -1 if outside < 0 else high + 1
    with pytest.raises(ValueError, match=f"tokens: expected integers 0 ... {high}, got values"):
        tokenizer.decode(np.array([0, token]))


def test_no_text_is_no_tokens(bpe):
    for tokenizer in (Bytes(), Characters("a"), bpe):
        assert len(tokenizer.encode("")) == 0
        assert tokenizer.decode(np.zeros(0, np.int32)) == ""


@settings(deadline=None)
@given(text=TEXTS)
@example(text=" lowest\r\n\x00 \ufeffe\u0301\u00e9 <|endoftext|> \U0001f600")
def test_byte_pairs_give_every_text_back(bpe, text):
    tokens = bpe.encode(text)
    assert tokens.dtype == np.int32
    assert len(tokens) <= len(text.encode())
    assert bpe.decode(tokens) == text


def test_byte_pairs_that_are_not_utf_8_are_replaced(bpe):
    assert bpe.decode(bpe.encode("é")[:1]) == "\ufffd"


def test_the_pairs_that_occur_most_are_merged_first(bpe):
    """By a second implementation of arXiv 1508.07909, over the words of the texts."""
    texts = VERSE * 3
    words = Counter(
        tuple(("Ġ" if i else "") + word) for t in texts for i, word in enumerate(t.split())
    )
    model = json.loads(bpe.content)["model"]
    assert len(model["merges"]) == bpe.vocabulary - 256 == 14
    for left, right in model["merges"]:
        pairs = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        assert pairs[left, right] == max(pairs.values())  # of equals, any may come first
        merged = Counter()
        for word, count in words.items():
            symbols, rest = [], list(word)
            while rest:
                both = rest[:2] == [left, right]
                symbols.append(left + right if both else rest[0])
                rest = rest[2 if both else 1 :]
            merged[tuple(symbols)] += count
        words = merged


def test_the_same_texts_give_the_same_merges_in_whatever_order(bpe, tmp_path):
    again = BPE.train(reversed(VERSE * 3), 270)
    assert again == bpe
    bpe.save(tmp_path / "tokenizer.json")
    loaded = BPE.load(tmp_path / "tokenizer.json")
    assert loaded == bpe
    np.testing.assert_array_equal(loaded.encode("slower"), bpe.encode("slower"))


def test_a_vocabulary_ends_where_no_pair_occurs_twice():
    assert BPE.train(["abc"], 300).vocabulary == 256
    assert BPE.train([], 300).vocabulary == 256


def test_cutting_and_padding_of_a_file_are_left_out(bpe):
    content = json.loads(bpe.content)
    cut = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    same = BPE(json.dumps(content | {"truncation": cut}))
    np.testing.assert_array_equal(same.encode("lowest low"), bpe.encode("lowest low"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normalizer": {"type": "NFC"}}, "gives every text back, got 'é"),
        ({"normalizer": {"type": "Lowercase"}}, "gives every text back, got 'a"),
        ({"model": {"dropout": 0.1}}, "has no dropout"),
        (
            {"model": {"vocab": {"a": 0}, "merges": []}},
            "knows all 256 bytes .* got BPE of 1 symbols",
        ),
        ({"pre_tokenizer": {"add_prefix_space": True}}, "back, got ' A"),
        ({"model": {"type": "Unknown"}}, "content: expected that of a tokenizer.json, got"),
    ],
)
def test_a_tokenizer_that_does_not_give_every_text_back_is_refused(bpe, change, message):
    content = json.loads(bpe.content)
    for key, value in change.items():
        content[key] = (content[key] or {}) | value
    with pytest.raises(ValueError, match=message):
        BPE(json.dumps(content))


def test_a_byte_order_mark_before_a_tokenizer_is_left_out(bpe, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(b"\xef\xbb\xbf" + bpe.content.encode())
    assert BPE.load(tmp_path / "tokenizer.json") == bpe


def test_a_tokenizer_that_is_absent_or_too_large_is_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"tokenizer.json: expected a file"):
        BPE.load(tmp_path / "tokenizer.json")
    monkeypatch.setattr("ar_jax.data.tokenizers.CONTENT_LIMIT", 1000)
    (tmp_path / "tokenizer.json.gz").write_bytes(gzip.compress(bytes(10**5), mtime=0))
    with pytest.raises(ValueError, match=r"tokenizer.json.gz: expected at most 1,000 bytes"):
        BPE.load(tmp_path / "tokenizer.json.gz")
    with pytest.raises(ValueError, match="content: expected at most 1,000 characters"):
        BPE("[" * 1001)


def changed(bpe, *path_and_value):
    """The content with a value put in place of another."""
    content = json.loads(bpe.content)
    *path, key, value = path_and_value
    part = content
    for name in path:
        part = part[name]
    part[key] = value
    return json.dumps(content)


ADDED = {"special": True, "normalized": False, "lstrip": False, "rstrip": False}
ADDED |= {"single_word": False, "content": "<end>"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("model", "vocab", "a", 2**32 - 2), "ids that are no integers from 0 to 2.20 - 1"),
        (("model", "vocab", "a", 2**20), "ids that are no integers"),
        (("model", "vocab", "a", 2**40), "ids that are no integers"),
        (("model", "vocab", "a", -1), "ids that are no integers"),
        (("model", "vocab", "a", 1.5), "ids that are no integers"),
        (("model", "vocab", "a", True), "ids that are no integers"),
        (("model", "vocab", "a", 0), "two symbols of one id"),
        (("added_tokens", [ADDED | {"id": 2**31}]), "ids that are no integers"),
        (("added_tokens", [{}]), "'id'"),
        (("added_tokens", 5), "not iterable"),
        (("model", "vocab", [["a", -1.0]]), "no attribute"),
        (("model", None), "not subscriptable"),
        (("model", "merges", [["a", "no such symbol"]]), "out of vocabulary"),
        (("model", "type", "Unigram"), ""),
        (("decoder", {"type": "Unknown"}), ""),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(bpe, change, message):
    with pytest.raises(ValueError, match=f"content: expected .*, got .*{message}") as error:
        BPE(changed(bpe, *change))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["[" * 10**5, "{}", "[]", "null", "", '"', "{", "\ud800"])
def test_json_that_is_no_tokenizer_is_refused(content):
    with pytest.raises(ValueError, match=r"content: expected that of a tokenizer.json, got"):
        BPE(content)


def test_a_pattern_that_never_ends_is_given_up(bpe, capfd):
    """As the library's panics are none of Python's exceptions; it also prints them."""
    pattern = {"Regex": "(a*)*(a*)*(a*)*(a*)*[^a]{1000}"}
    split = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
    last = json.loads(bpe.content)["pre_tokenizer"]
    slow = {"type": "Sequence", "pretokenizers": [split, last]}
    tokenizer = BPE(changed(bpe, "pre_tokenizer", slow))
    with pytest.raises(ValueError, match=r"content: expected that of a tokenizer.json, got Onig"):
        tokenizer.encode("a" * 40)
    capfd.readouterr()


def test_a_damaged_file_gives_a_tokenizer_or_a_value_error(bpe, tmp_path, capfd):
    bpe.save(tmp_path / "tokenizer.json")
    check_damaged(BPE.load, tmp_path / "tokenizer.json", lambda got: 256 <= got.vocabulary < 2**20)
    small = BPE.train([], 256).content.replace(" ", "")
    small = json.dumps(json.loads(small) | {"model": json.loads(small)["model"] | {"vocab": {}}})
    (tmp_path / "small.json").write_text(small, encoding="utf-8")  # most is not the vocabulary
    check_damaged(BPE.load, tmp_path / "small.json", lambda got: False)
    capfd.readouterr()


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda bpe: BPE("no json"), "content: expected that of a tokenizer.json, got"),
        (lambda bpe: BPE.train("one text", 300), "texts: expected several, got one"),
        (lambda bpe: BPE.train(VERSE, 255), "vocabulary: expected at least the 256 bytes, got 255"),
        (
            lambda bpe: bpe.decode(np.array([270])),
            "tokens: expected integers 0 ... 269, got values",
        ),
        (lambda bpe: bpe.decode(np.array([-1])), "tokens: expected integers 0 ... 269, got values"),
        (lambda bpe: bpe.encode("\ud800"), "surrogates not allowed"),
        (lambda bpe: prompts(bpe, "one text", 9), r"texts: expected several, got one; write \["),
        (lambda bpe: prompts(bpe, ["low"], 0), "length: expected at least 1, got 0"),
        (
            lambda _: prompts(Bytes(), ["a", "abc"], 2),
            "at most 2 tokens, got 3 in number 1; shorten",
        ),
        (lambda _: prompts(Characters("ab"), ["a", "é"], 2), "got 'é' at position 0"),
    ],
)
def test_bad_texts_are_named(bpe, attempt, message):
    with pytest.raises(ValueError, match=message) as error:
        attempt(bpe)
    assert "\n" not in str(error.value)


def test_texts_become_padded_prompts(bpe):
    padded = prompts(Bytes(), ["ab", "", "c"], 3)
    assert padded.dtype == np.int32
    np.testing.assert_array_equal(padded, [[97, 98, -1], [-1, -1, -1], [99, -1, -1]])
    texts = ["lower", "", "widest"]
    back = [bpe.decode(row[row >= 0]) for row in prompts(bpe, texts, 8)]
    assert back == texts


def test_an_empty_prompt_is_the_absence_of_one(bpe):
    y = prompts(bpe, ["low", ""], 4)
    Tokens(bpe.vocabulary, 4, dropout=0.1).check(y, 2)
    with pytest.raises(ValueError, match="condition: expected one for every example, since"):
        Tokens(bpe.vocabulary, 4).check(y, 2)
