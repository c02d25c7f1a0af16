import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ar_jax.data import Bytes, Characters

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


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


def test_no_text_is_no_tokens():
    for tokenizer in (Bytes(), Characters("a")):
        assert len(tokenizer.encode("")) == 0
        assert tokenizer.decode(np.zeros(0, np.int32)) == ""
