"""`sft-advisor explain ANYTHING`: every word of an answer has a page, and near words are found by meaning."""

from __future__ import annotations

import pytest

from advisor.ask.questions import QUESTIONS
from advisor.data.findings import BLOCKING
from advisor.decide.reasons import CHOSEN_BY
from advisor.report.plan import plan_groups
from advisor.report.topics import EXAMINED, SETTINGS, VALUES, near, page
from advisor.report.vocabulary import WORDS, topic_of
from rules.engine import RuleBook, load_rule_book
from rules.explain import STRENGTH_WORDS, explain
from rules.facts import FACTS
from tests.report import made_by_hand as made
from trainers.exit_codes import MEANINGS
from trainers.export import TARGETS


@pytest.fixture(scope="module")
def book() -> RuleBook:
    return load_rule_book()


def test_every_setting_says_what_it_means_and_how_it_is_fixed(book):
    for name in SETTINGS:
        text = page(name, book)
        assert text is not None, name
        assert text.startswith(f"# {name}\n")
        assert len(text.splitlines()[2].split()) >= 4, f"{name} is hardly explained"


def test_every_word_beside_a_setting_of_a_plan_has_a_page(book):
    result = made.recommendation()
    assert result.best is not None
    rows = [row for _, rows in plan_groups(result.best.plan) for row in rows]
    assert len(rows) > 20
    assert [row.field for row in rows if page(row.field, book) is None] == []
    assert [name for name in CHOSEN_BY if page(name, book) is None] == []


@pytest.mark.parametrize(
    "names",
    [
        [question.key for question in QUESTIONS],
        [question.flag for question in QUESTIONS],
        [fact.path for fact in FACTS],
        [str(code) for code in MEANINGS],
        list(BLOCKING),
        list(EXAMINED),
        list(VALUES),
        list(STRENGTH_WORDS),
        [question.prompt for question in QUESTIONS],
        list(TARGETS),
    ],
)
def test_questions_flags_facts_exit_codes_findings_and_tools_have_pages(book, names):
    assert names
    assert [name for name in names if page(name, book) is None] == []


@pytest.mark.parametrize(
    "typed", ["learning rate", "Learning Rate", "learning-rate", "--learning-rate", " learning_rate"]
)
def test_a_name_may_be_typed_as_people_write_it(book, typed):
    assert page(typed, book) == page("learning_rate", book)


def test_a_setting_shows_its_value_in_the_last_answer_and_who_chose_it(book):
    text = page("lora_rank", book, made.recommendation())
    assert text is not None
    assert "`16`, by HYP-01" in text
    assert page("lora_rank", book, made.nothing_fits()) == page("lora_rank", book)


@pytest.mark.parametrize(
    ("topic", "found"),
    [
        ("rank", "lora_rank"),
        ("batch", "micro_batch_size"),
        ("longest row", "max_seq_len"),
        ("qlroa", "qlora"),
        ("forgetting", "HYP-12"),
        ("learnign", "learning_rate"),
    ],
)
def test_near_words_are_found(book, topic, found):
    assert found in near(topic, book)


def test_what_merely_mentions_a_word_is_not_proposed_where_something_is_about_it(book):
    assert near("tokenizer", book)[0] == "data.new_tokens"
    assert "DEP-56" not in near("tokenizer", book)


@pytest.mark.parametrize("topic", ["xyzzy", "qq", ""])
def test_nothing_is_proposed_where_nothing_is_near(book, topic):
    assert near(topic, book) == []
    assert page(topic, book) is None


def test_every_word_that_people_use_leads_to_a_page_and_hides_no_other(book: RuleBook):
    for word, topic in WORDS.items():
        assert explain(topic, book) or page(topic, book), word
        if word not in VALUES:
            named = explain(word, book) or page(word, book)
            assert named in (None, explain(topic, book) or page(topic, book)), f"{word} is called so itself"


@pytest.mark.parametrize(
    ("typed", "topic"),
    [
        ("What is alpha?", "lora_alpha"),
        ("what's the rank", "lora_rank"),
        ("learning rate too high", "learning rate"),
        ("why is my loss_on", "is my loss_on"),
        ("batch_size", "global_batch_size"),
        ("what does catastrophic forgetting mean", "QUA-17"),
        ("学习率太高", "learning_rate"),
        ("什么是秩？", "lora_rank"),
    ],
)
def test_a_question_is_read_as_its_word(typed, topic):
    assert topic in topic_of(typed)


def test_a_chinese_word_is_found_in_chinese_sentences():
    chinese = load_rule_book(language="zh_CN")
    assert "QUA-16" in near("侵入维度", chinese)
    assert near("完全没有这个词", chinese) == []


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("lora_rnk", "lora_rank"), ("warmup_step", "warmup_steps"), ("learnin_rate", "learning_rate")],
)
def test_a_slip_of_the_fingers_leads_to_the_whole_name(book: RuleBook, typed: str, meant: str) -> None:
    assert near(typed, book)[0] == meant
