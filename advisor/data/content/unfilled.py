"""Places that were left to be filled in, and escapes that were never undone."""

from __future__ import annotations

import re

from advisor.base.language import later
from advisor.data.content.examiner import Examiner, answers, excerpt, rewritten, said
from trainers.examples.example import Example

_BRACES = re.compile(r"(?<![${#\\A-Za-z}])\{\{\s*[A-Za-z_\u4e00-\u9fff][\w .\u4e00-\u9fff-]{0,30}\s*\}\}(?![{}])")
_TEMPLATING = re.compile(
    r"jinja|template|handlebars|mustache|\bvue\b|angular|\bhelm\b|ansible|liquid|django|github actions|workflow|"
    r"\bhugo\b|```|<\w+[ >]|v-for|\bn8n\b|模板",
    re.IGNORECASE,
)
_BRACKETS = re.compile(
    r"(?<![\w\]])\[(?i:Your|Insert|(?:Enter|Add) (?:your|the|a)|Recipient|Company|Customer|Client|Employer|"
    r"Candidate|Name|Date|Address|Phone|Email)\b[^\[\]\n(),]{0,40}\](?!\()|\[(?:NAME|DATE|ADDRESS|PHONE|EMAIL|REDACTED|COMPANY|PERSON|LOCATION)(?:_?\d+)?\]|"
    r"<(?:NAME|PERSON|EMAIL|EMAIL_ADDRESS|PHONE|PHONE_NUMBER|ADDRESS|DATE|LOCATION|COMPANY|ORG|REDACTED)(?:_?\d+)?>|"
    r"<(?i:your|insert)[ _-][\w -]{1,30}>|\bNAME_\d+\b",
)
# A line break that stands as two characters: not inside quotes, and not the head of a LaTeX command or of a path.
_ESCAPE = re.compile(r"(?<![\\\"'`\w:/.])\\n(?![a-z\"'`])|(?<=[\w.!?:,;)。！？：，])\\n(?![a-z\"'`])|\\n\\n")
_PLAIN_ESCAPE = re.compile(r"(?<=[.!?。！？：；，”])\\n(?![a-z\"'`/])|\\n\s*\Z|\\n\\n")
_CODE = re.compile(
    r"printf?\(|split\(|join\(|replace\(|re\.\w+\(|\\n[\"']|[\"']\\n|\\[a-zA-Z]+\{|^\s*[\[{]|\"\w+\":\s*\"|"
    r"[=(]\s*[\"'][^\"'\n]*\\n"
)
_UNDO = {"\\n": "\n", "\\t": "\t", "\\r": ""}


def _braces(example: Example) -> str:
    for text in answers(example):
        if (found := _BRACES.search(text)) and not any(_TEMPLATING.search(one) for one in said(example)):
            return excerpt(text, *found.span())
    return ""


def _brackets(example: Example) -> str:
    for text in answers(example):
        if found := _BRACKETS.search(text):
            return excerpt(text, *found.span())
    return ""


def _escaped(text: str) -> re.Match[str] | None:
    """Where a text that is no code holds a line break as two characters.

    Beside true line breaks only the plain cases count: behind the end of a sentence, and at the end of the text.
    """
    if text.count("`") > 1 or _CODE.search(text):
        return None
    return (_PLAIN_ESCAPE if "\n" in text else _ESCAPE).search(text)


def _escapes(example: Example) -> str:
    for text in said(example):
        if found := _escaped(text):
            return excerpt(text, *found.span())
    return ""


def _undone(text: str) -> str:
    return re.sub(r"\\[ntr]", lambda found: _UNDO[found.group()], text) if _escaped(text) else text


EXAMINERS = (
    Examiner(
        code="unfilled-template",
        hint=r"\{\{\s*[A-Za-z_\x{4e00}-\x{9fff}]",
        look=_braces,
        what=later("answer with a place of a template that was never filled in"),
        why=later("The model learns to write the braces, not what belongs there."),
        fix=later("Put the values in, or leave the rows out."),
        mend=lambda example: None if _braces(example) else example,
        blocks_above=0.05,
    ),
    Examiner(
        code="placeholders",
        hint=r"[\[<](?i:your|insert|enter|add|recipient|company|customer|client|employer|candidate|name|date|address|"
        r"phone|email|redacted|person|location|org)|NAME_[0-9]",
        look=_brackets,
        what=later("answer with a placeholder"),
        why=later("Fine where a form is asked for; else the model learns to leave the place open."),
        fix=later("Put values in where the answer should have them, or leave the rows out."),
        mend=lambda example: None if _brackets(example) else example,
        warns_above=0.05,
    ),
    Examiner(
        code="escaped-breaks",
        hint=r"\\n",
        look=_escapes,
        what=later("hold line breaks written as the two characters \\ and n"),
        why=later("The model learns to write these two characters where a new line is meant."),
        fix=later("Turn them into line breaks."),
        mend=lambda example: rewritten(example, _undone),
        blocks_above=0.20,
    ),
)
