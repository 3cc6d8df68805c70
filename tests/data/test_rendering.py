"""Chat templates rendered without transformers, held against transformers on templates that are in use."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from advisor.data.lengths import measure
from advisor.data.rendering import Renderer, read_dialect
from advisor.model import resolve_model
from advisor.model.spec import ModelSpec
from tests.data.conftest import CHATML as CHATML_WITH_END
from tests.data.conftest import save_model
from trainers.examples.example import Example, RowError
from trainers.examples.spans import Marker
from trainers.examples.template import ChatTemplate

WITHOUT_END = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)

MESSAGES = (
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "what is the answer?"},
    {"role": "assistant", "content": "forty-two"},
    {"role": "user", "content": "and why?"},
    {"role": "assistant", "content": "<think>hm</think>\n\nbecause"},
)


def stock_templates() -> list[Path]:
    found = find_spec("trl")
    assert found is not None
    assert found.origin is not None
    return sorted((Path(found.origin).parent / "chat_templates").glob("*.jinja"))


@pytest.mark.parametrize("path", stock_templates(), ids=lambda path: path.stem)
@pytest.mark.parametrize("ask", [False, True])
def test_templates_render_as_in_transformers(path: Path, ask: bool) -> None:
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    source = path.read_text(encoding="utf-8")
    conversation = list(MESSAGES[1:4] if ask else MESSAGES[1:3])
    mine: str | None
    try:
        mine = ChatTemplate(source, {"bos_token": "<bos>", "eos_token": "<eos>"}).render(conversation, ask=ask).text
    except RowError:
        mine = None
    theirs: str | None
    try:
        rendered, _ = render_jinja_template(
            [conversation], chat_template=source, add_generation_prompt=ask, bos_token="<bos>", eos_token="<eos>"
        )
        theirs = rendered[0]
    except (TemplateError, TypeError, KeyError, ValueError, AttributeError):
        theirs = None
    assert mine == theirs


def test_answers_are_marked_with_their_end_token(model: ModelSpec) -> None:
    rendered = Renderer(read_dialect(model)).marker.mark(Example(MESSAGES[:3]))
    marked = [rendered.text[start:end] for start, end in rendered.spans]
    assert marked == ["forty-two<|im_end|>"]


def test_every_turn_of_a_conversation_is_marked(model: ModelSpec) -> None:
    rendered = Renderer(read_dialect(model)).marker.mark(Example(MESSAGES))
    marked = [rendered.text[start:end] for start, end in rendered.spans]
    assert marked == ["forty-two<|im_end|>", "<think>hm</think>\n\nbecause<|im_end|>"]


def test_template_that_drops_earlier_thoughts_is_still_marked() -> None:
    source = next(path for path in stock_templates() if path.stem == "qwen3").read_text()
    messages = (*MESSAGES[1:2], {"role": "assistant", "content": "<think>long</think>\n\nfirst"}, *MESSAGES[3:])
    marker = Marker(ChatTemplate(source))
    rendered = marker.mark(Example(messages))
    assert rendered.without_reasoning == (1,)
    assert [rendered.words(one) for one in rendered.answers] == ["<think>\nhm\n</think>\n\nbecause<|im_end|>"]


def test_system_message_is_folded_where_a_template_refuses_it() -> None:
    strict = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
    )
    assert Marker(ChatTemplate(strict)).mark(Example(MESSAGES[:3])).text.startswith("[user]be brief")


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{% for m in messages %}", "Unexpected end of template"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages[0].nope.nope }}", "refuses it"),
        ("{# nothing #}", "empty text"),
        ("{{ ''.__class__.__mro__ }}", "refuses it"),
    ],
)
def test_templates_that_cannot_be_used(template: str, told: str) -> None:
    with pytest.raises(RowError, match=told):
        Marker(ChatTemplate(template)).mark(Example(MESSAGES[1:3]))


def test_base_model_gets_the_chatml_of_the_training_process(tmp_path: Path) -> None:
    model = resolve_model(str(save_model(tmp_path, None)))
    assert "<|im_start|>user" in Renderer(read_dialect(model)).marker.mark(Example(MESSAGES[1:3])).text


@pytest.mark.parametrize("template", [CHATML_WITH_END, WITHOUT_END], ids=["chatml", "no end"])
@pytest.mark.parametrize("loss_on", ["assistant", "completion", "all"])
def test_counts_are_those_of_the_training_process(tmp_path: Path, template: str, loss_on: Any) -> None:
    from transformers import AutoTokenizer

    from trainers.training.rendering import Renderer as TheirRenderer

    folder = save_model(tmp_path, template)
    model = resolve_model(str(folder))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    theirs = TheirRenderer(tokenizer, {"<|im_end|>"}, loss_on)
    examples = [Example(tuple(MESSAGES[:3])), Example(tuple(MESSAGES)), Example(text="the lazy fox")]
    mine = measure(Renderer(read_dialect(model), loss_on), examples)
    for example, found in zip(examples, mine, strict=True):
        encoded = theirs.encode(example)
        assert not isinstance(found, RowError)
        measured, _ = found
        assert measured.tokens == len(encoded.input_ids)
        assert measured.supervised == encoded.supervised
        if template == CHATML_WITH_END:
            assert measured.ends == encoded.ends
