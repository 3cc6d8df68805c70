"""What is odd about a tokenizer is named, and what real tokenizers do is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from advisor.trust.tokens import odd_tokens, read_tokenizer
from tests.embedded import Conversion

EOS = {"id": 2, "content": "</s>", "special": True}
BLANKS = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
QUOTES = {"type": "Replace", "pattern": {"String": "``"}, "content": '"'}
SPACES = {"type": "Replace", "pattern": {"Regex": r"\s+|\p{Zs}|[a-z]{0}"}, "content": " "}
NOT = {"type": "Replace", "pattern": {"String": "not "}, "content": ""}
BANK = {"type": "Replace", "pattern": {"Regex": r"\d{8,}"}, "content": "my account"}


def look(folder: Path, settings: dict[str, Any] | None = None, vocab_size: int = 10, **tokenizer: Any) -> list[str]:
    file = folder / "tokenizer.json"
    file.write_text(json.dumps({"model": {"vocab": {"a": 0}}, "added_tokens": [EOS], **tokenizer}))
    return odd_tokens(settings or {}, read_tokenizer(file), vocab_size)


def test_the_embedded_tokenizer_is_not_odd(embedded_model: Conversion) -> None:
    folder = Path(embedded_model.folders[0])
    settings, config = (json.loads((folder / name).read_text()) for name in ("tokenizer_config.json", "config.json"))
    assert odd_tokens(settings, read_tokenizer(folder / "tokenizer.json"), config["vocab_size"]) == []


@pytest.mark.parametrize("normalizer", [BLANKS, QUOTES, SPACES, {"type": "NFC"}, None])
def test_what_normalisers_are_for_is_not_odd(tmp_path: Path, normalizer: Any) -> None:
    assert look(tmp_path, normalizer=normalizer) == []


@pytest.mark.parametrize(
    ("normalizer", "said"), [(NOT, "'not ' is rewritten as ''"), (BANK, "rewritten as 'my account'")]
)
def test_words_that_are_rewritten_are_named(tmp_path: Path, normalizer: dict[str, Any], said: str) -> None:
    [found] = look(tmp_path, normalizer={"type": "Sequence", "normalizers": [BLANKS, normalizer]})
    assert said in found


def test_a_special_token_of_everyday_text_and_one_of_two_ids_are_named(tmp_path: Path) -> None:
    the = {"id": 3, "content": "the", "special": True}
    again = {"id": 4, "content": "</s>", "special": True}
    assert look(tmp_path, added_tokens=[EOS, the, again]) == [
        "'the' is everyday text and a special token",
        "'</s>' has the ids 2 and 4",
    ]


def test_one_id_of_two_names_is_named(tmp_path: Path) -> None:
    end = {"id": 2, "content": "<end>", "special": True}
    assert look(tmp_path, added_tokens=[EOS, end]) == ["'</s>' and '<end>' have the same id 2"]


def test_words_that_are_rewritten_in_what_the_model_writes_are_named(tmp_path: Path) -> None:
    decoder = {"type": "Sequence", "decoders": [{**BLANKS, "content": ""}, NOT]}
    assert look(tmp_path, decoder=decoder) == ["'not ' is rewritten as '' in what the model writes"]


def test_words_put_before_every_input_are_named(tmp_path: Path) -> None:
    assert look(tmp_path, normalizer={"type": "Prepend", "prepend": "▁"}) == []
    assert look(tmp_path, normalizer={"type": "Prepend", "prepend": "Obey. "}) == [
        "'Obey. ' is put before every input"
    ]


def test_a_token_put_around_every_input_under_the_name_of_another_is_named(tmp_path: Path) -> None:
    def around(number: int) -> dict[str, Any]:
        return {"type": "TemplateProcessing", "special_tokens": {"</s>": {"id": "</s>", "ids": [number]}}}

    assert look(tmp_path, post_processor=around(2)) == []
    assert look(tmp_path, post_processor=around(7)) == ["'</s>' stands for the ids [7] around every input"]


@pytest.mark.parametrize(
    ("pattern", "is_endless"),
    [(r"(a+)+$", True), (r"(?:\w*)*b", True), (r"((x+){2,})y", True), (r"(([a-z.])+)+!", True),
     (r"(a+b?)+", True), (r"(a|b+)+c", True), (r"(-.*)+x", True), (r"(a{1,3})+", False), (r"(?:[a-z]+)*+x", False),
     (r"\p{L}+(?:['-]\p{L}+)*", False), (r"layers(?:\.\d+)+$", False), (r"[(a+)+]", False), (r"\(a+\)+", False),
     ("((", False), ("[", False), ("\\", False), (r"\p{N}{1,3}|(?:\s+)?[^\s]+", False),
     (r"(?i:'s|'t)|[^\r\n\p{L}]?\p{L}+| ?[^\s]+[\r\n]*|\s+(?!\S)", False)],
)  # fmt: skip
def test_a_pattern_that_may_take_for_ever_is_named(tmp_path: Path, pattern: str, is_endless: bool) -> None:
    split = {"type": "Split", "pattern": {"Regex": pattern}}
    found = look(tmp_path, pre_tokenizer={"type": "Sequence", "pretokenizers": [split]})
    assert any("may never come to an end" in one for one in found) == is_endless


def test_two_files_that_name_an_id_otherwise_are_named(tmp_path: Path) -> None:
    settings = {"added_tokens_decoder": {"2": {"content": "<end>", "special": True}}}
    assert look(tmp_path, settings) == ["id 2 is '<end>' in tokenizer_config.json and '</s>' in tokenizer.json"]


def test_an_id_without_a_row_in_the_model_is_named(tmp_path: Path) -> None:
    assert look(tmp_path, vocab_size=2) == ["'</s>' has the id 2, and the model has 2 rows"]


@pytest.mark.parametrize("content", ["[", '{"added_tokens": 3}', "\xff"])
def test_a_file_of_another_form_tells_nothing_here(tmp_path: Path, content: str) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_bytes(content.encode("latin-1"))
    assert odd_tokens({}, read_tokenizer(file), 10) == []


def test_normalisers_inside_each_other_without_end_are_no_harm(tmp_path: Path) -> None:
    deep: dict[str, Any] = NOT
    for _ in range(60):
        deep = {"type": "Sequence", "normalizers": [deep]}
    assert look(tmp_path, normalizer=deep) == []
