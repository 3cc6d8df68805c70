"""Recipes of CONTRIBUTING.md for what is asked, judged and shown: places to touch, what the suite says half-way."""

from __future__ import annotations

import pytest
from babel.messages.pofile import read_po

from tests.languages.__main__ import written
from tests.recipes.conftest import Scratch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RULE = """id = "DATA-99"
title = "Fewer examples than parallel readers"
when = 'data.examples < host.cpu_cores'
effect = "warn"
message = "{data.examples} examples are read by {host.cpu_cores} cores."
because = "A reader without an example does nothing."
fix = "Add examples."
strength = "derived"
sources = ["arithmetic"]
"""
CASES = """
[[cases]]
name = "4 examples, 8 cores"
given = { "data.examples" = 4, "host.cpu_cores" = 8 }
expect = "fires"

[[cases]]
name = "9 examples, 8 cores"
given = { "data.examples" = 9, "host.cpu_cores" = 8 }
expect = "silent"

[[cases]]
name = "examples not known"
given = { "host.cpu_cores" = 8 }
expect = "unknown"
"""


def test_a_rule_is_one_file(scratch: Scratch) -> None:
    path = "rules/book/data/DATA-99-fewer-examples-than-parallel-readers.toml"
    scratch.write(path, RULE)
    scratch.complains("tests/rules/test_load.py", "tests/rules/test_book.py", about="case")
    (scratch.root / path).write_text(RULE + CASES)
    scratch.complains("tests/rules/test_explain.py", "tests/docs/test_readme.py", about="rules.index")
    scratch.docs()
    of_rules = "DATA-99 or every_rule or index or flow or coverage"
    scratch.suite("tests/rules/test_book.py", "tests/rules/test_explain.py", "-k", of_rules)
    assert "Fewer examples than parallel readers" in scratch.python("-m", "advisor", "explain", "DATA-99")
    assert scratch.touched == [path]


QUESTION = """    Question(
        key="task.languages",
        page="task",
        kind="int",
        low=1,
        default=1,
        prompt="How many languages do the answers use?",
        help="Languages in which the model has to answer.",
        why="An adapter for many languages needs a higher rank.",
    ),
"""
RULE_OF_QUESTION = """id = "QUA-99"
title = "Answers in many languages"
when = 'task.languages > 20'
effect = "warn"
message = "The answers use {task.languages} languages."
because = "Each has to be learnt."
fix = "Give examples in each."
strength = "derived"
sources = ["arithmetic"]

[[cases]]
name = "30 languages"
given = { "task.languages" = 30 }
expect = "fires"

[[cases]]
name = "one language"
given = { "task.languages" = 1 }
expect = "silent"

[[cases]]
name = "not known"
given = {}
expect = "unknown"
"""


def test_a_question_is_its_row_its_fact_its_rule_and_its_answer_in_the_tests(scratch: Scratch) -> None:
    scratch.insert("advisor/ask/questions.py", '    Question(\n        key="task.prompting_tried"', QUESTION)
    scratch.complains("tests/ask/test_questions.py", about="FACTS in rules/facts.py has no row")
    scratch.insert(
        "rules/facts.py",
        '    _fact("task.prompting_tried"',
        '    _fact("task.languages", "int", "languages of the answers"),\n',
    )
    scratch.complains("tests/ask/test_questions.py", about="no rule reads {'task.languages'}")
    scratch.write("rules/book/quality/QUA-99-answers-in-many-languages.toml", RULE_OF_QUESTION)
    answered = ("tests/commands/wizard/test_form.py", "-k", "by_pipe_and_by_flag")
    scratch.complains(*answered, about="has no answer for {'task.languages'}")
    scratch.insert(
        "tests/commands/wizard/test_form.py", '    "task.prompting_tried": "yes"', '    "task.languages": "2",\n'
    )
    scratch.complains("tests/docs/test_readme.py", about="make docs")
    scratch.docs()
    scratch.suite(*answered)
    scratch.suite("tests/ask/test_questions.py", "tests/docs/test_readme.py", "tests/report/test_schema.py")
    assert "--task-languages" in scratch.python("-m", "advisor", "--help")
    assert len(scratch.touched) == 4


def test_a_section_is_its_field_who_fills_it_its_place_in_the_document_and_in_each_report(scratch: Scratch) -> None:
    parts = ("tests/decide/test_recommendation.py", "tests/report/test_parts.py")
    field = '    reading: tuple[str, ...] = ()\n    """What to read next."""\n'
    scratch.insert("advisor/decide/recommendation.py", "    traces: tuple[Trace, ...]\n", field)
    scratch.complains(*parts, about="advise() in advisor/decide/advise.py does not fill reading")
    scratch.insert(
        "advisor/decide/advise.py",
        "        unknown_facts=_unknown_facts(",
        '        reading=("sft-advisor explain quality",),\n',
    )
    document = ("tests/report/test_document.py", "-k", "every_part")
    scratch.complains(*document, about="answer_document() in advisor/report/document.py do not carry {'reading'}")
    path = "advisor/report/document.py"
    scratch.insert(path, "    commands: dict[str, str]\n", '    reading: tuple[str, ...]\n    """What to read."""\n')
    scratch.insert(path, "        commands=next_commands(result),\n", "        reading=result.reading,\n")
    scratch.suite(*document)
    scratch.complains(*parts, about="recommendation() in advisor/report/terminal.py does not show reading")
    scratch.insert(
        "advisor/report/terminal.py",
        "    parts.append(settings(result))\n",
        '    parts += section("To read", [Text(line) for line in result.reading])\n',
    )
    scratch.complains(*parts, about="advisor/report/page/templates/answer.html does not show reading")
    block = "<h2>To read</h2><ul>{% for line in r.reading %}<li>{{ line }}</li>{% endfor %}</ul>\n"
    scratch.insert("advisor/report/page/templates/answer.html", "{% if r.wish_cost %}\n", block)
    scratch.suite(*parts)
    scratch.complains("tests/golden", "-k", "small-model", about="make golden")
    assert len(scratch.touched) == 5


def test_a_language_is_a_line_and_a_folder(scratch: Scratch) -> None:
    scratch.replace("advisor/base/language.py", '"zh_CN": "简体中文"}', '"zh_CN": "简体中文", "fr": "Français"}')
    assert "fr: " in scratch.python("-m", "tests.languages")
    catalogue = scratch.root / "advisor/languages/fr/LC_MESSAGES/sft_advisor.po"
    with catalogue.open("rb") as file:
        empty = read_po(file, locale="fr")
    for message in empty:
        message.string = message.id and f"FR {message.id}"
    catalogue.write_bytes(written(empty))
    scratch.python("-m", "tests.languages")
    scratch.suite("tests/languages/test_catalogue.py")
    assert "FR nothing fits" in scratch.python("-m", "advisor", "--lang", "fr", "explain", "exit 3")
    assert scratch.touched == ["advisor/base/language.py"]
