import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from advisor.base import language
from advisor.base.errors import InputError
from rules.engine import RuleBook, load_rule_book
from rules.explain import METHOD_PAGES, explain
from rules.explain import PAGES as METHOD_PAGES_FOLDER
from rules.load import load
from rules.messages import placeholders
from rules.rule import ENGLISH, SENTENCES, Rule, Wording


@pytest.fixture(autouse=True)
def english_again() -> Iterator[None]:
    yield
    language.use(ENGLISH)


@pytest.fixture(scope="module")
def english() -> RuleBook:
    return load_rule_book()


@pytest.fixture(scope="module")
def chinese() -> RuleBook:
    return load_rule_book(language="zh_CN")


@pytest.mark.parametrize(
    ("wanted", "environment", "code"),
    [
        (None, {}, "en"),
        (None, {"LANG": "C.UTF-8"}, "en"),
        (None, {"LANG": "zh_CN.UTF-8"}, "zh_CN"),
        (None, {"LANG": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en"),
        (None, {"LANG": "de_DE.UTF-8"}, "en"),
        (None, {"LANG": "de_DE.UTF-8", "SFT_ADVISOR_LANG": "zh"}, "zh_CN"),
        ("zh-cn", {"SFT_ADVISOR_LANG": "en"}, "zh_CN"),
        ("en_GB", {"LANG": "zh_CN.UTF-8"}, "en"),
    ],
)
def test_the_flag_comes_first_then_the_variable_then_the_locale(wanted, environment, code):
    assert language.choose(wanted, environment) == code


def test_a_new_language_is_chosen_by_the_locale_of_each_of_its_countries(monkeypatch):
    monkeypatch.setitem(language.LANGUAGES, "fr", "français")
    assert {language.choose(None, {"LANG": name}) for name in ("fr", "fr_FR.UTF-8", "fr_CA@euro")} == {"fr"}
    assert language.choose(None, {"LANG": "zh_TW.UTF-8"}) == "en"


def test_a_language_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(InputError, match="no language 'zh_TW'") as refused:
        language.choose("zh_TW", {})
    (problem,) = refused.value.problems
    assert "zh_CN" in problem.why
    assert problem.fix == "--lang zh_CN"


def test_every_rule_speaks_chinese_and_none_of_it_is_stale(english: RuleBook, chinese: RuleBook):
    left = [
        f"{rule.id} (of = {rule.wording_digest})"
        for rule in english.rules
        if any(getattr(rule, key) and getattr(rule, key) == getattr(chinese.rule(rule.id), key) for key in SENTENCES)
        and rule.fix[:4] != "pip "
    ]
    assert not left, f"missing or stale in [translations.zh_CN]: {left}"


def test_only_sentences_change_with_the_language(english: RuleBook, chinese: RuleBook):
    def others(rule: Rule) -> dict[str, object]:
        return {key: getattr(rule, key) for key in Rule.__struct_fields__ if key not in SENTENCES}

    for rule in english.rules:
        assert others(rule) == others(chinese.rule(rule.id))
        assert set(placeholders(rule.message)) == set(placeholders(chinese.rule(rule.id).message))


def test_a_translation_of_other_sentences_is_passed_by():
    kept = {"when": "true", "effect": "warn", "strength": "opinion", "sources": ()}
    wording = Wording(of="00000000", title="旧", message="旧的话")
    rule = Rule(id="X-01", title="New", message="New words", translations={"zh_CN": wording}, **kept)
    assert rule.worded("zh_CN").message == "New words"
    unchecked = Wording(title="无", message="没有摘要")
    assert (
        Rule(id="X-01", title="New", message="New words", translations={"zh_CN": unchecked}, **kept)
        .worded("zh_CN")
        .message
        == "没有摘要"
    )


def test_each_language_has_a_cache_of_its_own(tmp_path):
    assert load(cache=tmp_path).rules != load(cache=tmp_path, language="zh_CN").rules
    assert load(cache=tmp_path, language="zh_CN").rules == load(cache=tmp_path, language="zh_CN").rules
    assert load(cache=tmp_path).rules == load().rules


@pytest.mark.parametrize("page", sorted((METHOD_PAGES_FOLDER / "zh_CN").glob("*.md")), ids=lambda page: page.stem)
def test_a_page_of_a_method_names_the_sources_and_rules_of_the_english_one(page: Path):
    def named(text: str) -> tuple[set[str], set[str], list[str]]:
        sources = {one.strip() for found in re.findall(r"\[([a-z0-9, -]+)\]", text) for one in found.split(",")}
        return sources, set(re.findall(r"\b[A-Z]{2,4}-\d+", text)), re.findall(r"^#+|^\d+\.|^- |^\|", text, re.M)

    english = re.sub(r"<!--.*?-->", "", (METHOD_PAGES_FOLDER / page.name).read_text(encoding="utf-8"))
    assert named(page.read_text(encoding="utf-8")) == named(english)


def test_every_method_has_its_page_and_explain_shows_it_in_the_language_in_use(chinese: RuleBook):
    assert {page.stem for page in (METHOD_PAGES_FOLDER / "zh_CN").glob("*.md")} == set(METHOD_PAGES)
    assert (explain("lora", chinese) or "").startswith("# LoRA\n\nThe change")
    language.use("zh_CN")
    assert (explain("lora", chinese) or "").startswith("# LoRA\n\n假定")
    assert "来源" in (explain("HYP-13", chinese) or "")
