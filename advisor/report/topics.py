"""Pages of `sft-advisor explain` on what is no rule: settings, questions, facts, exit codes, findings, other tools.

Everything is read from where it is known (the plan, the question table, the vocabulary ...); Markdown comes back.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal, get_args, get_origin

import msgspec

from advisor.ask.questions import BY_KEY, QUESTIONS
from advisor.base.language import tr
from advisor.data.content.registry import EXAMINERS
from advisor.data.findings import BLOCKING
from advisor.decide.reasons import CHOSEN_BY
from advisor.decide.recommendation import Recommendation
from advisor.report import words
from advisor.report.descriptions import field_texts
from rules.engine import RuleBook
from rules.explain import STRENGTH_WORDS, TOPICS
from rules.facts import BY_PATH
from trainers import exit_codes
from trainers.export import TARGETS, describe
from trainers.plan import TrainingPlan
from trainers.plan_fields import bare_type, fields_about

SETTINGS = {field.name: field for field in msgspec.structs.fields(TrainingPlan)}
EXAMINED = {examiner.code: examiner for examiner in EXAMINERS}
VALUES = tuple(dict.fromkeys(value for question in QUESTIONS for value in question.choices))
ANSWERS = {value: [question for question in QUESTIONS if value in question.choices] for value in VALUES}
"""A value of a closed set -> the questions that take it."""
SENTENCE = re.compile(r" (?=(?:More|Less|On|Off|None): )")
"""Where the text of a setting goes on to what more or less of it does."""
GLOBAL_BATCH = "global_batch_size"
MAX_NEAR = 6


def page(topic: str, book: RuleBook, last: Recommendation | None = None) -> str | None:
    """The page of a setting, question, fact, exit code, finding or tool, as a person types its name; None: no such.

    `last` adds what the last answer chose for a setting, and who chose it.
    """
    kinds = _index(book, last).values()
    for name in _spellings(topic):
        for pages in kinds:
            if name in pages:
                return pages[name]()
    return None


NEARLY = 0.85
"""Likeness from which a whole name is taken for a slip of the fingers: it leads."""


def near(topic: str, book: RuleBook) -> list[str]:
    """Topics whose name or text speaks of the words of `topic`, the nearest first; [] where none does."""
    if alike := _of_its_family(topic.upper(), book):
        return alike
    asked = [word for word in re.split(r"[\s_.\-]+", topic.lower()) if len(word) > 2 or not word.isascii()]
    found = _nearest(topic, asked, _searched(book))
    if set(found) <= set(book.sources):
        found += _nearest(topic, asked, _asides(book))
    return found[:MAX_NEAR]


def _of_its_family(topic: str, book: RuleBook) -> list[str]:
    """The ids most like one that is no rule's, of the rules whose ids begin alike; [] for what is no id."""
    family, _, number = topic.rpartition("-")
    alike = [rule.id for rule in book.rules if number.isdigit() and rule.id.startswith(f"{family}-")]
    return difflib.get_close_matches(topic, alike, n=MAX_NEAR, cutoff=0.0)


def _nearest(topic: str, asked: list[str], texts: Mapping[str, str]) -> list[str]:
    scores: dict[str, float] = {}
    for name, text in texts.items():
        parts = re.split(r"[_.\-\s]+", name.lower())
        score = sum(3.0 for word in asked if any(_alike(word, part) for part in parts))
        score += 2.0 if name in SETTINGS and score else 0.0
        score += sum(1.0 for word in asked if _speaks_of(text.lower(), word))
        if score:
            whole = difflib.SequenceMatcher(None, topic.lower(), name.lower()).ratio()
            scores[name] = score + whole + (2.0 if whole > NEARLY else 0.0)
    return sorted(scores, key=lambda name: (-scores[name], name))[:MAX_NEAR]


def _speaks_of(text: str, word: str) -> bool:
    """Whether a word of the text begins so; Chinese is written without blanks, so there it is anywhere."""
    return re.search(rf"\b{re.escape(word)}", text) is not None if word.isascii() else word in text


def _alike(word: str, part: str) -> bool:
    return part.startswith(word) or difflib.SequenceMatcher(None, word, part).ratio() >= 0.8


def _spellings(topic: str) -> list[str]:
    """A name as it stands, and as settings, flags and codes are written."""
    plain = _plain(topic)
    return [
        topic.strip(),
        plain,
        plain.replace(" ", "_").replace("-", "_"),
        plain.replace(" ", "-").replace("_", "-"),
    ]


def _plain(text: str) -> str:
    return " ".join(text.strip().lstrip("-").rstrip("?？").lower().split())


def _index(book: RuleBook, last: Recommendation | None) -> dict[str, Mapping[str, Callable[[], str]]]:
    """Kind of topic -> what writes each page, by name; where a name stands for two things, the earlier kind wins."""
    by_flag = {question.flag.lstrip("-"): question.key for question in QUESTIONS}
    codes = {
        spelling: code
        for code in exit_codes.MEANINGS
        for spelling in (str(code), f"exit {code}", f"exit code {code}", f"exit-{code}")
    }
    return {
        "choices": _pages(CHOSEN_BY, choice_page),
        "settings": _pages((*SETTINGS, GLOBAL_BATCH), setting_page, book, last),
        "questions": _pages(BY_KEY, question_page, book),
        "flags": {flag: partial(question_page, key, book) for flag, key in by_flag.items()},
        "facts": _pages(BY_PATH, fact_page, book),
        "exit codes": {spelling: partial(exit_code_page, code) for spelling, code in codes.items()},
        "findings": _pages((*BLOCKING, *EXAMINED), finding_page),
        "answers": _pages(ANSWERS, answer_page),
        "strengths": _pages(STRENGTH_WORDS, strength_page),
        "prompts": {_plain(tr(asked.prompt)): partial(question_page, asked.key, book) for asked in QUESTIONS},
        "tools": _pages(TARGETS, tool_page),
    }


def _pages(names: Iterable[str], write: Callable[..., str], *more: Any) -> Mapping[str, Callable[[], str]]:
    return {name: partial(write, name, *more) for name in names}


def _searched(book: RuleBook) -> dict[str, str]:
    """Every topic with the text in which words are looked for."""
    texts = dict.fromkeys((*TOPICS, *book.sources), "")
    texts |= {name: " ".join(map(tr, setting_texts(name))) for name in SETTINGS}
    texts |= {question.key: f"{tr(question.prompt)} {tr(question.help)}" for question in QUESTIONS}
    texts |= {rule.id: f"{rule.title} {rule.message}" for rule in book.rules}
    texts |= {path: tr(fact.meaning) for path, fact in BY_PATH.items() if path.removeprefix("plan.") not in texts}
    return texts | {code: str(limit) for code, limit in BLOCKING.items()}


def _asides(book: RuleBook) -> dict[str, str]:
    """Rules by their reasons, which speak of much else: looked at where nothing is about the words."""
    return {rule.id: rule.because for rule in book.rules}


# --- pages -------------------------------------------------------------------------------------------------------


def choice_page(name: str) -> str:
    """How a setting is chosen that no single rule sets."""
    return f"# {name}\n\n{tr(CHOSEN_BY[name])}\n"


def setting_texts(name: str) -> list[str]:
    """What a setting is, then what more or less of it does, each a sentence for `tr`; [""] where nothing is said."""
    return SENTENCE.split(field_texts(TrainingPlan).get(name, ""))


def setting_page(name: str, book: RuleBook, last: Recommendation | None = None) -> str:
    """One field of a plan: meaning, values, what more and less do, who sets it, and its value in the last answer."""
    if name == GLOBAL_BATCH:
        meaning = tr("Rows of one optimizer step: micro_batch_size x gradient_accumulation_steps x num_gpus.")
        lines = [f"# {name}", "", meaning]
        return "\n".join([*lines, *_in_last(name, last), *_set_by_rules(name, book)]) + "\n"
    first, *effects = map(tr, setting_texts(name))
    lines = [f"# {name}", "", first, *([""] if effects else []), *(f"- {effect}" for effect in effects), ""]
    about = fields_about(TrainingPlan)[name]
    if values := _values(bare_type(SETTINGS[name])):
        lines.append(tr("Values: {values}.", values=", ".join(values)))
    if about.unit:
        lines.append(tr("Unit: {unit}.", unit=about.unit))
    if about.flag:
        lines.append(
            tr("To fix it yourself: `--{name}` of `sft-advisor train` and `estimate`.", name=name.replace("_", "-"))
        )
    if about.resume == "kept":
        lines.append(tr("A resume may not change it."))
    return "\n".join([*lines, *_in_last(name, last), *_set_by_rules(name, book)]) + "\n"


def _values(type_: Any) -> list[str]:
    """The values of a setting that has a choice."""
    if get_origin(type_) is Literal:
        return [str(value) for value in get_args(type_)]
    return [value for inner in get_args(type_) if not isinstance(inner, str) for value in _values(inner)]


def _in_last(name: str, last: Recommendation | None) -> list[str]:
    if last is None or last.best is None:
        return []
    plan = last.best.plan
    value = getattr(plan, name)
    if isinstance(value, msgspec.Struct):
        return []
    chosen_by = plan.set_by.get(name)
    said = tr("In the last answer ({headline}): `{value}`", headline=last.headline, value=words.plain(value))
    return ["", tr("{said}, by {chosen_by}.", said=said, chosen_by=chosen_by) if chosen_by else f"{said}."]


def _set_by_rules(name: str, book: RuleBook) -> list[str]:
    rules = [rule for rule in book.rules if rule.effect == "set" and name in rule.set]
    return ["", tr("Rules that set it"), "", *(f"- {rule.id}: {rule.title}" for rule in rules)] if rules else []


def question_page(key: str, book: RuleBook) -> str:
    """One question: what is meant, why it matters, how it is answered, and which rules read the answer."""
    question = BY_KEY[key]
    lines = [
        f"# {key}",
        "",
        tr(question.prompt),
        "",
        tr(question.help),
        "",
        tr("Why it matters: {why}", why=tr(question.why)),
        "",
    ]
    lines += [f"- `{value}`: {tr(meaning)}" for value, meaning in question.choices.items()]
    example = f" {question.example}" if question.example else ""
    lines += ["", tr("Flag: `{flag}{example}`.", flag=question.flag, example=example)]
    return "\n".join([*lines, *_read_by_rules(key, book)]) + "\n"


def fact_page(path: str, book: RuleBook) -> str:
    """One fact that rules read, and the rules that read it."""
    fact = BY_PATH[path]
    unit = tr(", in {unit}", unit=fact.unit) if fact.unit else ""
    meaning = tr(fact.meaning)
    lines = [f"# {path}", "", f"{meaning[:1].upper()}{meaning[1:]} ({fact.type}{unit})."]
    if fact.choices:
        lines += ["", tr("Values: {choices}.", choices=", ".join(fact.choices))]
    return "\n".join([*lines, *_read_by_rules(path, book)]) + "\n"


def _read_by_rules(path: str, book: RuleBook) -> list[str]:
    rules = [rule for rule in book.rules if path in book.facts_read(rule.when, *rule.set.values())]
    return ["", tr("Rules that read it"), "", *(f"- {rule.id}: {rule.title}" for rule in rules)] if rules else []


def exit_code_page(code: int) -> str:
    """What an exit code says."""
    return f"# {tr('exit code {code}', code=code)}\n\n{tr(exit_codes.MEANINGS[code])}\n"


def finding_page(code: str) -> str:
    """What `data check` means by a finding, when it is in the way of a run, and what mends it."""
    lines = [f"# {code}", "", tr("A finding of `sft-advisor data check`.")]
    if (examiner := EXAMINED.get(code)) is not None:
        said = tr("Rows that {what}.", what=tr(examiner.what))
        lines += ["", said, "", tr("Why it matters: {why}", why=tr(examiner.why)), "", tr(examiner.fix)]
    if code in BLOCKING:
        lines += ["", tr("It stops a launch when {limit}.", limit=BLOCKING[code])]
        lines += ["", tr("To go on all the same: `--allow {code}`.", code=code)]
    return "\n".join(lines) + "\n"


def answer_page(value: str) -> str:
    """What a value that questions may be answered with means, and which those are."""
    lines = [f"# {value}", ""]
    for question in ANSWERS[value]:
        said = {"question": tr(question.prompt), "meaning": tr(question.choices[value]), "flag": question.flag}
        lines.append("- " + tr('An answer to "{question}" (`{flag}`): {meaning}', **said))
    return "\n".join(lines) + "\n"


def strength_page(name: str) -> str:
    """How well a rule is founded."""
    return f"# {name}\n\n{tr(STRENGTH_WORDS[name])}\n"


def tool_page(name: str) -> str:
    """What can be told to another tool."""
    about = describe(name)
    methods = ", ".join(about.methods)
    return (
        f"# {name}\n\n"
        + tr(
            "{title}: `sft-advisor export` with `--to {name}` writes the plan in its words.",
            title=about.title,
            name=name,
        )
        + f"\n\n{tr('Methods: {methods}.', methods=methods)}\n"
    )
