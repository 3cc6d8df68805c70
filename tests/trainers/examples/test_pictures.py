"""Every form in which published sets write pictures, as slots among the words and what names them, in order."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.trainers.examples.templates import CHATML
from trainers.examples.example import Example, RowError
from trainers.examples.proof import Unproven
from trainers.examples.reader import reader_for
from trainers.examples.rows import Row
from trainers.examples.slots import SLOT
from trainers.examples.spans import Marker
from trainers.examples.template import ChatTemplate

A = {"role": "assistant", "content": "a lamp"}
BYTES = b"\x89PNG and so on"
HELD = "data:;base64," + base64.b64encode(BYTES).decode()


def read(row: dict[str, Any]) -> Example:
    return reader_for([Row(1, row)], "rows.jsonl").read(row)


def asking(*parts: Any, **beside: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}, A], **beside}


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


FORMS: dict[str, tuple[dict[str, Any], str, tuple[str, ...]]] = {
    "OpenAI's address": (
        asking({"type": "image_url", "image_url": {"url": "a.png"}}, text("q")), f"{SLOT}q", ("a.png",),
    ),
    "OpenAI's data URI": (
        asking(text("q"), {"type": "image_url", "image_url": {"url": HELD}}), f"q{SLOT}", (HELD,),
    ),
    "OpenAI's responses": (
        asking({"type": "input_image", "image_url": "a.png"}, {"type": "input_text", "text": "q"}),
        f"{SLOT}q", ("a.png",),
    ),
    "Anthropic's source": (
        asking(
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": HELD[13:]}}, text("q")
        ),
        f"{SLOT}q", (HELD,),
    ),
    "Qwen's part with a path": (asking({"type": "image", "image": "a.png"}, text("q")), f"{SLOT}q", ("a.png",)),
    "TRL: parts, and a column": (
        asking({"type": "image"}, text("q"), {"type": "image"}, images=["a.png", "b.png"]),
        f"{SLOT}q{SLOT}", ("a.png", "b.png"),
    ),
    "TRL: parts of a parquet file": (
        asking({"type": "image", "text": None}, text("q"), images=[{"bytes": BYTES, "path": None}]),
        f"{SLOT}q", (HELD,),
    ),
    "TRL: words and a column": ({"messages": [{"role": "user", "content": "q"}, A], "images": ["a.png"]},
                                f"{SLOT}q", ("a.png",)),
    "TRL: prompt and completion": ({"prompt": "q", "completion": "a", "images": ["a.png"]}, f"{SLOT}q", ("a.png",)),
    "visual questions in columns": (
        {"question": "q", "answer": "a", "image": {"bytes": BYTES, "path": "a.png"}}, f"{SLOT}q", (HELD,),
    ),
    "LLaVA": (
        {
            "image": "a.png",
            "conversations": [{"from": "human", "value": "<image>\nq"}, {"from": "gpt", "value": "a lamp"}],
        },
        f"{SLOT}\nq", ("a.png",),
    ),
    "ShareGPT of LLaMA-Factory": (
        {
            "conversations": [{"from": "human", "value": "x<image>y<image>"}, {"from": "gpt", "value": "a lamp"}],
            "images": ["a.png", "b.png"],
        },
        f"x{SLOT}y{SLOT}", ("a.png", "b.png"),
    ),
    "a family's own marks": (
        {
            "messages": [{"role": "user", "content": "<|vision_start|><|image_pad|><|vision_end|>q"}, A],
            "images": ["a.png"],
        },
        f"{SLOT}q", ("a.png",),
    ),
    "pictures of a turn": (
        {"messages": [{"role": "user", "content": "q", "images": ["a.png", "b.png"]}, A]},
        f"{SLOT}{SLOT}q", ("a.png", "b.png"),
    ),
    "bare base64": ({"prompt": "q", "completion": "a", "image": "iVBORw0K" * 40}, f"{SLOT}q",
                    ("data:;base64," + "iVBORw0K" * 40,)),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_keeps_its_place_and_its_name(form: str) -> None:
    row, said, named = FORMS[form]
    example = read(row)
    asked = next(message for message in example.messages if message["role"] == "user")
    assert asked["content"] == said
    assert example.images == named


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_out_is_read_again_as_the_same(form: str) -> None:
    example = read(FORMS[form][0])
    assert read(example.as_dict()) == example


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (asking(text("<image><image>q"), images=["a.png"]), "speaks of 2 pictures and brings 1"),
        (asking({"type": "image"}, text("q")), "speaks of 1 pictures and brings 0"),
        (asking({"type": "image", "image": "b.png"}, text("q"), images=["a.png"]), "speaks of 1 pictures"),
        (
            {"messages": [{"role": "user", "content": "q"}, {**A, "content": [{"type": "image", "image": "a.png"}]}]},
            "an answer holds a picture",
        ),
        ({"prompt": "q", "completion": "a", "image": {"path": None}}, "named by nothing"),
        ({"prompt": "q", "completion": "a", "image": 7}, "neither path nor bytes"),
    ],
)
def test_a_row_whose_pictures_do_not_fit_its_words_is_broken(row: dict[str, Any], told: str) -> None:
    with pytest.raises(RowError, match=told):
        read(row)


def test_words_alone_lose_the_slots_and_nothing_else() -> None:
    example = read(FORMS["LLaVA"][0])
    marker = Marker(ChatTemplate(CHATML, {}), {"<|im_end|>"})
    assert "user\nq" in marker.mark(example).text
    assert "user\nq" in marker.opening(example.messages)


def seeing(mark: str = "<image>") -> Marker:
    """A marker for a template that writes a mark for each picture, as those of models that see do."""
    written = CHATML.replace(
        "{{ m.content }}",
        "{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
        "{{ part.text if part.type == 'text' else '<image>' }}{% endfor %}{% endif %}",
    )
    return Marker(ChatTemplate(written, {}), ["<|im_end|>"], picture_mark=mark)


def test_a_model_that_sees_reads_a_mark_where_each_picture_stands() -> None:
    example = read(FORMS["TRL: parts, and a column"][0])
    rendered = seeing().mark(example)
    assert "<image>q<image><|im_end|>" in rendered.text
    assert [rendered.words(one) for one in rendered.answers] == ["a lamp<|im_end|>"]
    assert "<image>q<image><|im_end|>" in seeing().opening(example.messages)


def test_a_picture_without_its_mark_is_refused_for_the_template() -> None:
    with pytest.raises(Unproven, match="shows 0 pictures of 2, or the words hold its mark <picture>") as refusal:
        seeing("<picture>").mark(read(FORMS["TRL: parts, and a column"][0]))
    assert refusal.value.kind == "template"
