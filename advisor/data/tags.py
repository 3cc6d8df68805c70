"""Tags that answers write again and again, and that no one has said are meant: they are learnt as words.

Known marks (of templates, ends of turns, calls, reasoning) have findings of their own. What is left is the mark of a
tool, a role or a token in a spelling that nobody has listed, or a form that the author of the data wants.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from advisor.base.language import tr
from advisor.data.content.examiner import percent, rows_said
from advisor.data.content.marks import END_TOKENS, MARKS
from advisor.data.sampling import Sampled
from advisor.data.verdict import Finding
from trainers.examples.reasoning import TAGS
from trainers.examples.written_calls import MARK_PATTERN

OFTEN = 0.05
FEWEST = 3
_SHOWN = 6
_TAG = re.compile(
    r"<\|[\w ▁/.:-]{2,40}\|>|<｜[^｜<>\n]{2,40}｜>|\[\|[\w ]{2,40}\|\]|\[/?[A-Z][A-Z_]{3,40}\]"
    r"|<[A-Za-z][\w:-]{1,40}(?:\s+\w+=[^<>]{1,80})?>"
)
_ATTRIBUTES = re.compile(r"\s+\w+=.*(?=>)")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_CALLS = re.compile(MARK_PATTERN)
_ACTS = re.compile(
    r"[|｜]|tool|func|call|action|observ|invoke|plugin|execut|(?:^|\W)(?:api|user|human|assistant|bot|system|agent"
    r"|start|end|eos|bos|pad|unk|sep|mask|turn|im)(?:$|[\W_])",
    re.IGNORECASE,
)
"""What says that a tag is one of a machine: of a tool, of who speaks, or a token."""
_HTML_NAMES = """
a abbr article aside audio b blockquote body br button canvas caption center cite code col dd del details
dialog div dl dt em embed fieldset figure figcaption font footer form frame h1 h2 h3 h4 h5 h6 head header hr
html i iframe img input ins kbd label legend li link main map mark math meta nav object ol optgroup option p
param picture pre progress q rp rt ruby samp script section select small source span strong style sub summary
sup svg table tbody td template textarea tfoot th thead time title tr track u ul var video wbr string int str
bool float vector list dict char object
"""
_PLAIN = frozenset({*_HTML_NAMES.split(), *(tag.strip("<>/") for tag in TAGS)})
_KNOWN = frozenset({*MARKS, *END_TOKENS, "[INST]", "[/INST]"})


def judge_tags(sample: Sequence[Sampled]) -> Iterator[Finding]:
    """A warning about tags of machines that answers hold, a note about the others; of rows that were sampled."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for kept in sample:
        for tag in _tags("\n".join(kept.example.answers)):
            found[tag].append(kept.line)
    often = {tag: lines for tag, lines in found.items() if len(lines) >= max(FEWEST, OFTEN * len(sample))}
    for is_warning in (True, False):
        chosen = {tag: lines for tag, lines in often.items() if bool(_ACTS.search(tag.strip("<>[]"))) == is_warning}
        if chosen:
            yield _finding(chosen, len(sample), is_warning)


def _finding(tags: dict[str, list[int]], rows: int, is_warning: bool) -> Finding:
    lines = sorted({line for found in tags.values() for line in found})
    return Finding(
        code="tags-in-answers",
        level="warn" if is_warning else "note",
        what=tr(
            "answers write {tags} in {rows} ({share}) of those looked at",
            tags=", ".join(sorted(tags, key=lambda tag: -len(tags[tag]))[:_SHOWN]),
            rows=rows_said(len(lines)),
            share=percent(len(lines) / rows),
        ),
        why=tr(
            "No chat template and no parser of a server is known to write or read them: they are learnt as words, "
            "in one form."
        ),
        fix=tr(
            "Where they mark calls, results or turns, write those as tool_calls and as turns of their own; where "
            "what serves the model reads them, they are right as they are."
        ),
        lines=tuple(lines[:5]),
        rows=len(lines),
    )


def _tags(text: str) -> set[str]:
    """The tags of a text, those in code and those that are known left out."""
    if "<" not in text and "[" not in text:
        return set()
    found = {_ATTRIBUTES.sub("", tag) for tag in _TAG.findall(_CODE.sub("", text)) if not _CALLS.search(tag)}
    return {tag for tag in found if tag.strip("<>").lower() not in _PLAIN and tag not in _KNOWN}
