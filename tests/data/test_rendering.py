"""Chat templates rendered without transformers, held against transformers on templates that are in use."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor.data.formats import Example, RowError
from advisor.data.lengths import measure
from advisor.data.rendering import CHATML, Dialect, Renderer, read_dialect
from advisor.model import resolve_model
from advisor.model.spec import ModelSpec
from tests.data.conftest import CHATML as CHATML_WITH_END
from tests.data.conftest import save_model

WITHOUT_END = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
USERS_ONLY = "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %}"

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


def dialect(template: str | None, path: Path = Path("tokenizer.json")) -> Dialect:
    return Dialect(
        tokenizer_path=path,
        template=template,
        eos_token="<eos>",
        bos_token="<bos>",
        pad_token=None,
        end_ids=frozenset(),
    )


@pytest.mark.parametrize("path", stock_templates(), ids=lambda path: path.stem)
@pytest.mark.parametrize("ask", [False, True])
def test_templates_render_as_in_transformers(path: Path, ask: bool) -> None:
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    source = path.read_text()
    conversation = list(MESSAGES[1:4] if ask else MESSAGES[1:3])
    mine: str | None
    try:
        mine = Renderer(dialect(source))._apply(conversation, None, ask)
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
    rendered = Renderer(read_dialect(model)).render(Example(MESSAGES[:3]))
    marked = [rendered.text[start:end] for start, end in rendered.spans]
    assert marked == ["forty-two<|im_end|>"]


def test_every_turn_of_a_conversation_is_marked(model: ModelSpec) -> None:
    rendered = Renderer(read_dialect(model)).render(Example(MESSAGES))
    marked = [rendered.text[start:end] for start, end in rendered.spans]
    assert marked == ["forty-two<|im_end|>", "<think>hm</think>\n\nbecause<|im_end|>"]


def test_template_that_drops_earlier_thoughts_is_still_marked() -> None:
    source = next(path for path in stock_templates() if path.stem == "qwen3").read_text()
    messages = (*MESSAGES[1:2], {"role": "assistant", "content": "<think>long</think>\n\nfirst"}, *MESSAGES[3:])
    without_end = msgspec.structs.replace(dialect(source), eos_token=None)
    rendered = Renderer(without_end).render(Example(messages))
    marked = [rendered.text[start:end] for start, end in rendered.spans]
    assert marked[0].startswith("first")
    assert "because" in marked[1]


def test_system_message_is_folded_where_a_template_refuses_it() -> None:
    strict = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
    )
    assert Renderer(dialect(strict)).text(list(MESSAGES[:3])).startswith("[user]be brief")


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{% for m in messages %}", "not valid Jinja"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages[0].nope.nope }}", "refuses it"),
        ("{# nothing #}", "empty text"),
        ("{{ ''.__class__.__mro__ }}", "refuses it"),
    ],
)
def test_templates_that_cannot_be_used(template: str, told: str) -> None:
    with pytest.raises(RowError, match=told):
        Renderer(dialect(template)).render(Example(MESSAGES[1:3]))


def test_base_model_gets_the_chatml_of_the_training_process(tmp_path: Path) -> None:
    from trainers.rendering import CHATML as THEIRS

    without_comment = THEIRS.read_text().partition("-#}")[2].strip()
    assert without_comment == CHATML.strip()
    model = resolve_model(str(save_model(tmp_path, None)))
    assert "<|im_start|>user" in Renderer(read_dialect(model)).render(Example(MESSAGES[1:3])).text


@pytest.mark.parametrize("template", [CHATML_WITH_END, WITHOUT_END, USERS_ONLY], ids=["chatml", "no end", "users"])
@pytest.mark.parametrize("loss_on", ["assistant", "completion", "all"])
def test_counts_are_those_of_the_training_process(tmp_path: Path, template: str, loss_on: Any) -> None:
    from transformers import AutoTokenizer

    from trainers.rendering import Renderer as TheirRenderer

    folder = save_model(tmp_path, template)
    model = resolve_model(str(folder))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    theirs = TheirRenderer(tokenizer, {"<|im_end|>"}, loss_on)
    examples: list[dict[str, Any]] = [
        {"messages": list(MESSAGES[:3])},
        {"messages": list(MESSAGES)},
        {"text": "the lazy fox"},
    ]
    mine = measure(
        Renderer(read_dialect(model), loss_on),
        [Example(tuple(one.get("messages", ())), one.get("text", "")) for one in examples],
    )
    for example, measured in zip(examples, mine, strict=True):
        encoded = theirs.encode(example)
        assert not isinstance(measured, RowError)
        assert measured.tokens == len(encoded.input_ids)
        assert measured.supervised == encoded.supervised
        if template == CHATML_WITH_END:
            assert measured.ends == encoded.ends
