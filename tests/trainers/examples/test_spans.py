"""Labels, judged by code that finds them in other ways than the code under test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError

from tests.trainers.examples import templates
from tests.trainers.examples.templates import (
    CHATML,
    CONVERSATIONS,
    PLAIN,
    TOOLS,
    TWO_TURNS,
    answer,
    label_faults,
    marked,
    marker_of,
    of_template,
    user,
    with_own_words,
)  # fmt: skip
from trainers.examples.example import Example, RowError
from trainers.examples.labels import learnt_tokens
from trainers.examples.proof import Unproven
from trainers.examples.spans import Answer, Marker, Rendered
from trainers.examples.template import ChatTemplate

ALL = [*templates.base_templates(), *templates.family_templates()]


def characters(rendered: Rendered) -> list[bool]:
    marks = [False] * len(rendered.text)
    for start, end in rendered.spans:
        marks[start:end] = [True] * (end - start)
    return marks


def test_there_are_as_many_templates_as_meant() -> None:
    assert len(templates.base_templates()) >= 41
    assert len(templates.family_templates()) >= 10


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_answer_is_learnt_whole_and_nothing_else_is(path: Path) -> None:
    proven = 0
    for title, messages in CONVERSATIONS.items():
        own, meant = with_own_words(messages)
        try:
            apart = marked(path, own)
        except RowError as refusal:
            assert str(refusal).startswith("the chat template"), refusal
            with pytest.raises(RowError):
                marked(path, messages)
            continue
        proven += 1
        faults = label_faults(own, apart.text, characters(apart), marker_of(path).end_tokens, set(apart.shown))
        assert not faults, f"{title}: {faults}\n{shown_with_marks(apart)}"
        here = marked(path, messages)
        assert put_back(apart.text, meant) == here.text
        assert [put_back(apart.words(one), meant) for one in apart.answers] == list(map(here.words, here.answers))
    assert proven >= 12


def shown_with_marks(rendered: Rendered) -> str:
    text = rendered.text
    for start, end in reversed(rendered.spans):
        text = f"{text[:start]}[[{text[start:end]}]]{text[end:]}"
    return text


def put_back(text: str, meant: dict[str, str]) -> str:
    return re.sub(r"WORD\d+W", lambda found: meant[found[0]], text)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_plain_conversations_are_proven_under_every_template(path: Path) -> None:
    refused = [title for title, messages in PLAIN.items() if _is_refused(path, messages)]
    # This one copies its messages before it writes them, so an empty answer leaves nothing to be found by.
    assert refused == (["an empty answer"] if path.stem == "ministral_joined" else [])


def _is_refused(path: Path, messages: list[dict[str, Any]]) -> bool:
    try:
        marked(path, messages)
    except RowError:
        return True
    return False


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_what_opens_an_answer_is_never_learnt(path: Path) -> None:
    opening = marker_of(path).card.opening
    rendered = marked(path, PLAIN["two turns"])
    if opening.strip():
        assert not any(opening.strip() in rendered.words(one) for one in rendered.answers)
    assert not any("<think>" in rendered.words(one) for one in rendered.answers)


WORDS = st.sampled_from(["good", "bad", "yes", "a", "assistant", "good or bad", "Yes.", "no good", "7"])


@settings(max_examples=60, deadline=None)
@given(path=st.sampled_from(ALL), said=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4))
def test_equal_words_are_labelled_as_words_of_their_own_would_be(path: Path, said: list[tuple[str, str]]) -> None:
    messages = [message for question, reply in said for message in (user(question), answer(reply))]
    own, meant = with_own_words(messages)
    here, apart = marked(path, messages), marked(path, own)
    assert put_back(apart.text, meant) == here.text
    assert [put_back(apart.text[a:b], meant) for a, b in apart.spans] == [here.text[a:b] for a, b in here.spans]


TRAINING = [path for path in templates.base_templates() if path.with_name(f"{path.stem}_training.jinja").is_file()]


def test_the_labels_agree_with_the_training_templates_of_trl() -> None:
    """Token by token, with a tokenizer of one token a byte and the masks that transformers reads off TRL's templates.

    Where TRL's variant writes another text (it keeps reasoning that the model's own template drops) there is nothing
    to compare.
    """
    compared = 0
    for path in TRAINING:
        tokenizer = byte_tokenizer(path)
        training = path.with_name(f"{path.stem}_training.jinja").read_text(encoding="utf-8")
        for title, messages in CONVERSATIONS.items():
            try:
                rendered = marked(path, messages)
                theirs = their_mask(tokenizer, training, messages, marker_of(path))
            except (RowError, TemplateError, TypeError, KeyError, ValueError):
                continue
            if theirs is None or theirs[0] != rendered.text or rendered.without_reasoning:
                continue
            compared += 1
            ours = byte_marks(rendered)
            opening = marker_of(path).card.opening
            text = rendered.text.encode()
            more = runs(text, [their and not our for their, our in zip(theirs[1], ours, strict=True)])
            fewer = runs(text, [our and not their for their, our in zip(theirs[1], ours, strict=True)])
            ends = marker_of(path).end_tokens
            assert all(is_frame(run, opening) or run.strip() in ends for run in more), (path.stem, title, more)
            assert all(not run.strip() or run.strip() in ends for run in fewer), (
                path.stem,
                title,
                fewer,
            )
    assert compared >= 550


def is_frame(run: str, opening: str) -> bool:
    """Whether a stretch is what a server writes, an empty block of reasoning, or whitespace."""
    left = re.sub(r"<think>\s*(</think>)?|</think>", "", run.replace(opening, ""))
    return not left.strip() or left.strip() in opening or left.strip().startswith("<｜tool▁outputs▁end｜>")


def runs(text: bytes, marks: list[bool]) -> list[str]:
    found: list[bytearray] = []
    for place, mark in enumerate(marks):
        if mark and (place == 0 or not marks[place - 1]):
            found.append(bytearray())
        if mark:
            found[-1].append(text[place])
    return [bytes(run).decode(errors="replace") for run in found]


def byte_marks(rendered: Rendered) -> list[bool]:
    marks = characters(rendered)
    return [mark for character, mark in zip(rendered.text, marks, strict=True) for _ in character.encode()]


def byte_tokenizer(path: Path) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={sign: number for number, sign in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=templates.end_tokens(path.stem)[0], bos_token="<s>", pad_token="<pad>"
    )


def their_mask(
    tokenizer: Any, training: str, messages: list[dict[str, Any]], marker: Marker
) -> tuple[str, list[bool]] | None:
    ready = marker._ready(marker._normal(messages)[0])
    tools = TOOLS if marker.card.tools and any("tool_calls" in message for message in messages) else None
    text = tokenizer.apply_chat_template(ready, tools=tools, tokenize=False, chat_template=training)
    coded = tokenizer.apply_chat_template(
        ready, tools=tools, chat_template=training, return_dict=True, return_assistant_tokens_mask=True
    )
    marks = [bool(mark) for mark in coded["assistant_masks"]]
    # Special tokens are one token each; only texts without any can be compared byte for byte.
    return (text, marks) if len(marks) == len(text.encode()) else _spread(tokenizer, text, coded["input_ids"], marks)


def _spread(tokenizer: Any, text: str, ids: list[int], marks: list[bool]) -> tuple[str, list[bool]]:
    spread: list[bool] = []
    for one, mark in zip(ids, marks, strict=True):
        token = tokenizer.convert_ids_to_tokens(one)
        width = len(token.encode()) if token in tokenizer.all_special_tokens else 1
        spread += [mark] * width
    return text, spread


def test_the_same_text_comes_out_of_transformers() -> None:
    for path in templates.base_templates():
        tokenizer = byte_tokenizer(path)
        tokenizer.chat_template = path.read_text(encoding="utf-8")
        marker = marker_of(path)
        for messages in PLAIN.values():
            ready = marker._ready(marker._normal(messages)[0])
            try:
                theirs = tokenizer.apply_chat_template(ready, tokenize=False)
            except (TemplateError, TypeError):
                continue
            assert marked(path, messages).text == theirs


def test_an_answer_that_the_data_excludes_is_shown_and_not_learnt() -> None:
    path = templates.SHIPPED / "qwen2_5.jinja"
    example = Example(tuple(PLAIN["two turns"]), unlearnt=frozenset({1}))
    rendered = marker_of(path).mark(example)
    assert [one.place for one in rendered.answers] == [3]
    assert rendered.shown == (1,)
    assert "Green." in rendered.words(rendered.answers[0])


def test_words_beside_a_call_can_be_left_out_knowingly() -> None:
    path = templates.SHIPPED / "llama3_1.jinja"
    marker = Marker(marker_of(path).template, marker_of(path).end_tokens, leave_out=["words"])
    rendered = marker.mark(Example(tuple(CONVERSATIONS["call with words"]), tools=TOOLS))
    assert "I look." not in rendered.text
    assert len(rendered.answers) == 2


def test_the_form_of_arguments_is_the_one_that_the_template_reads() -> None:
    assert marker_of(templates.SHIPPED / "deepseekv3.jinja").card.arguments == "text"
    assert marker_of(templates.SHIPPED / "qwen3.jinja").card.arguments == "object"
    assert marker_of(templates.FAMILIES / "mistral_v3_tools.jinja").card.ids == "nine"
    assert marker_of(templates.FAMILIES / "kimi_two_loops.jinja").card.ids == "named"


def test_a_space_that_a_tokenizer_joins_to_an_answer_does_not_cost_its_first_token() -> None:
    text = "ASSISTANT: fine</s>"
    offsets = [(0, 10), (10, 15), (15, 19)]
    assert learnt_tokens(text, offsets, [(11, 19)]) == [1, 2]
    assert learnt_tokens(text, [(0, 12), (12, 15), (15, 19)], [(11, 19)]) == [1, 2]


def test_a_card_says_in_a_line_what_a_template_shows() -> None:
    qwen = marker_of(templates.SHIPPED / "qwen3.jinja").card.summary()
    assert qwen == (
        "shows system messages, tools, calls, several in one answer, results of tools, reasoning of the last turn"
    )
    gemma = marker_of(templates.SHIPPED / "gemma.jinja").card.summary()
    assert gemma == (
        "shows system messages inside the first question, reasoning as a part of the answer; not tools, calls"
    )


def test_plain_text_is_learnt_whole_and_asks_for_the_start_token_once() -> None:
    marker = Marker(ChatTemplate(CHATML, {"bos_token": "<s>", "eos_token": "</s>"}), ["</s>"])
    plain = marker.mark(Example(text="words of a page"))
    assert (plain.text, plain.spans) == ("words of a page", ((0, 15),))
    assert (plain.is_plain, plain.needs_bos) == (True, True)
    begun = marker.mark(Example(text="<s>words"))
    assert (begun.text, begun.spans) == ("<s>words", ((3, 8),))
    assert (begun.is_plain, begun.needs_bos) == (True, False)
    without = Marker(ChatTemplate(CHATML, {"eos_token": "</s>"}), ["</s>"]).mark(Example(text="<s>words"))
    assert (without.spans, without.needs_bos) == (((0, 8),), True)


def test_the_opening_of_an_answer_is_what_a_server_writes_in_front_of_it() -> None:
    marker = Marker(ChatTemplate(CHATML, {"eos_token": "<|im_end|>"}), ["<|im_end|>"])
    assert marker.opening([user("q")]) == "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"
    with_tools = Marker(ChatTemplate("{{ (tools or [])|length }} tools\n" + CHATML, {}), [])
    assert with_tools.opening([user("q")], TOOLS).startswith(f"{len(TOOLS)} tools\n")
    assert with_tools.opening([user("q")]).startswith("0 tools\n")


def test_the_longest_end_token_that_fits_ends_an_answer() -> None:
    assert Marker(ChatTemplate(CHATML, {}), ["</s>", "", "<|im_end|>"]).end_tokens == ("<|im_end|>", "</s>")
    text = CHATML.replace("<|im_end|>", "<|end|>{% if m.role == 'assistant' %} of turn{% endif %}")
    marker = Marker(ChatTemplate(text, {}), ["<|end|>", "<|end|> of turn"])
    assert marker.end_tokens == ("<|end|> of turn", "<|end|>")
    rendered = marker.mark(Example((user("q"), answer("a"))))
    assert rendered.words(rendered.answers[0]) == "a<|end|> of turn"


def test_an_answer_that_a_template_writes_twice_is_learnt_from_its_first_word_to_its_last() -> None:
    marker = of_template("{{ m.content }}{% if m.role == 'assistant' %} ({{ m.content }}){% endif %}")
    rendered = marker.mark(Example(TWO_TURNS))
    assert [rendered.words(one) for one in rendered.answers] == [
        "first (first)<|im_end|>", "second (second)<|im_end|>",
    ]  # fmt: skip


def test_with_the_loss_on_everything_only_an_excluded_answer_is_left_out() -> None:
    rendered = of_template("{{ m.content }}", "all").mark(Example(TWO_TURNS, unlearnt=frozenset({1})))
    assert "".join(rendered.text[start:end] for start, end in rendered.spans) == rendered.text.replace(
        "first<|im_end|>", ""
    )
    assert (len(rendered.spans), rendered.spans[0][0]) == (2, 0)


def test_an_excluded_answer_that_ends_the_text_leaves_no_empty_stretch_behind_it() -> None:
    marker = Marker(ChatTemplate(CHATML.replace("<|im_end|>\n", "<|im_end|>"), {}), ["<|im_end|>"], "all")
    rendered = marker.mark(Example((user("q"), answer("a")), unlearnt=frozenset({1})))
    assert [rendered.text[start:end] for start, end in rendered.spans] == [
        "<|im_start|>user\nq<|im_end|><|im_start|>assistant\n"
    ]


def test_an_answer_in_two_stretches_is_their_words_and_nothing_between() -> None:
    rendered = Rendered("one [note] two", ())
    assert rendered.words(Answer(1, ((0, 4), (11, 14)))) == "one two"


def test_an_answer_that_no_token_ends_is_learnt_to_its_line_end_and_not_beyond() -> None:
    turns = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    opening = "{% if add_generation_prompt %}[assistant] {% endif %}"
    found = Marker(ChatTemplate(turns + opening, {"eos_token": "</s>"}), ["</s>"]).mark(Example(TWO_TURNS))
    assert [[found.text[start:end] for start, end in each.spans] for each in found.answers] == [
        ["first\n"],
        ["second\n"],
    ]


def test_tools_that_a_template_does_not_show_can_be_left_out() -> None:
    example = Example((user("q"), answer("a")), tools=TOOLS)
    with pytest.raises(Unproven, match="does not show the tools"):
        Marker(ChatTemplate(CHATML, {}), ["<|im_end|>"]).mark(example)
    rendered = Marker(ChatTemplate(CHATML, {}), ["<|im_end|>"], leave_out=["tools"]).mark(example)
    assert [rendered.words(one) for one in rendered.answers] == ["a<|im_end|>"]


def test_with_the_loss_on_the_completion_the_last_answer_alone_is_learnt() -> None:
    rendered = of_template("{{ m.content }}", "completion").mark(Example(TWO_TURNS))
    assert ([one.place for one in rendered.answers], rendered.shown) == ([3], (1,))
    assert rendered.words(rendered.answers[0]) == "second<|im_end|>"


# As Gemma's first: no system message, so that its words go in front of the first question.
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML


def test_a_folded_system_message_keeps_the_places_of_the_data() -> None:
    marker = Marker(ChatTemplate(NO_SYSTEM, {}), ["<|im_end|>"])
    kind = {"role": "system", "content": "Be kind."}
    rendered = marker.mark(Example((kind, *TWO_TURNS), unlearnt=frozenset({2})))
    assert ([one.place for one in rendered.answers], rendered.shown) == ([4], (2,))
    assert rendered.text.startswith("<|im_start|>user\nBe kind.\n\n")
    with pytest.raises(Unproven) as refused:
        marker.mark(Example((kind, answer("a"))))
    assert str(refused.value) == ("the chat template knows no system message, and no question follows this one")
    assert refused.value.kind == "system"


def test_more_shapes_than_are_kept_are_proven_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.examples.spans.SHAPES_KEPT", 2)
    marker = of_template("{{ m.content }}")
    proven: list[int] = []
    prove = Marker._prove

    def counted(self: Marker, messages: list[Any], *others: Any, **named: Any) -> Any:
        proven.append(len(messages))
        return prove(self, messages, *others, **named)

    monkeypatch.setattr(Marker, "_prove", counted)
    for turns in (1, 2, 2, 1, 3, 3, 2, 1):
        marker.mark(Example((user("q"), answer("a")) * turns))
    assert proven == [2, 4, 6, 2]
