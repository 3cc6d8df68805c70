from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from trainers.examples.example import Example, RowError
from trainers.training.rendering import IGNORED, Encoded, Renderer, end_tokens, prepare_tokenizer

TALK = Example(
    (
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Are you well?"},
        {"role": "assistant", "content": "I am well."},
        {"role": "user", "content": "And now?"},
        {"role": "assistant", "content": "Still well."},
    )
)
TEMPLATES = Path(pytest.importorskip("trl").__file__).parent / "chat_templates"


@pytest.fixture
def tokenizer(tiny_model: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(str(tiny_model))


def renderer(tokenizer: PreTrainedTokenizerBase, loss_on: Any = "assistant") -> Renderer:
    return Renderer(tokenizer, end_tokens(tokenizer, None), loss_on)


def learnt(tokenizer: PreTrainedTokenizerBase, encoded: Encoded) -> str:
    return tokenizer.decode([label for label in encoded.labels if label != IGNORED])


def test_only_answers_and_the_token_that_ends_them_are_learnt(tokenizer: PreTrainedTokenizerBase) -> None:
    encoded = renderer(tokenizer).encode(TALK)
    assert learnt(tokenizer, encoded) == "I am well.<|im_end|>Still well.<|im_end|>"
    assert encoded.ends
    assert all(label in (IGNORED, token) for token, label in zip(encoded.input_ids, encoded.labels, strict=True))


def test_completion_learns_the_last_answer_and_all_learns_everything(tokenizer: PreTrainedTokenizerBase) -> None:
    assert learnt(tokenizer, renderer(tokenizer, "completion").encode(TALK)) == "Still well.<|im_end|>"
    whole = renderer(tokenizer, "all").encode(TALK)
    assert whole.labels == whole.input_ids


def test_plain_text_ends_with_the_end_token(tokenizer: PreTrainedTokenizerBase) -> None:
    encoded = renderer(tokenizer, "all").encode(Example(text="Once upon a time"))
    assert encoded.labels[-1] == tokenizer.eos_token_id
    assert learnt(tokenizer, encoded) == "Once upon a time<|im_end|>"


@pytest.mark.parametrize(
    "name",
    ["qwen2_5", "qwen3", "llama3", "gemma", "gemma3", "phi3", "phi3_5", "glm4moe", "deepseekv3", "cohere", "lfm2"],
)
def test_the_same_answers_are_found_in_the_templates_of_the_field(
    tokenizer: PreTrainedTokenizerBase, name: str
) -> None:
    tokenizer.chat_template = (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
    tokenizer.bos_token = "<|endoftext|>"
    encoded = renderer(tokenizer).encode(TALK)
    text = learnt(tokenizer, encoded)
    assert "I am well." in text
    assert "Still well." in text
    assert "Are you well?" not in text
    assert "Be kind." not in text
    assert "And now?" not in text


def test_a_template_that_knows_no_system_role_gets_it_before_the_question(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        + tokenizer.chat_template
    )
    text = renderer(tokenizer).marker.mark(TALK).text
    assert "Be kind.\n\nAre you well?" in text


def test_an_answer_that_opens_the_conversation_is_learnt(tokenizer: PreTrainedTokenizerBase) -> None:
    opening = Example(({"role": "assistant", "content": "Welcome."}, *TALK.messages[1:]))
    assert learnt(tokenizer, renderer(tokenizer).encode(opening)).startswith("Welcome.<|im_end|>")


def test_a_template_that_renders_nothing_is_said(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = "{% for m in messages if m.role == 'human' %}{{ m.content }}{% endfor %}"
    with pytest.raises(RowError, match="empty text"):
        renderer(tokenizer).encode(TALK)


def test_an_end_token_is_added_where_the_template_writes_none(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
    encoded = renderer(tokenizer).encode(TALK)
    assert encoded.labels[-1] == tokenizer.eos_token_id


def test_text_that_mentions_the_end_token_still_ends_with_one(tokenizer: PreTrainedTokenizerBase) -> None:
    encoded = renderer(tokenizer, "all").encode(
        Example(text="In ChatML <|im_end|> ends a turn, as this long text tells")
    )
    assert encoded.labels[-1] == tokenizer.eos_token_id
    assert encoded.labels.count(tokenizer.eos_token_id) == 2


def test_an_end_token_that_only_the_last_answer_lacks_is_added(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role + ': ' + m.content }}"
        "{% if not loop.last %}{{ '<|im_end|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    assert learnt(tokenizer, renderer(tokenizer).encode(TALK)).endswith("Still well.<|im_end|>")


def test_a_template_that_leaves_answers_out_is_said(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    with pytest.raises(RowError, match="neither question nor answer"):
        renderer(tokenizer).encode(TALK)


def test_padding_gets_a_token_of_its_own_and_none_is_added(tokenizer: PreTrainedTokenizerBase) -> None:
    before = len(tokenizer)
    said = prepare_tokenizer(tokenizer)
    assert tokenizer.pad_token == "<|endoftext|>"
    assert tokenizer.eos_token == "<|im_end|>"
    assert len(tokenizer) == before
    assert "keeps its meaning" in said[0]


def test_a_base_model_without_template_gets_turns_that_end_with_its_own_token(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    tokenizer.chat_template = None
    tokenizer.eos_token = "<|endoftext|>"
    prepare_tokenizer(tokenizer)
    assert learnt(tokenizer, renderer(tokenizer).encode(TALK)) == "I am well.<|endoftext|>Still well.<|endoftext|>"
