"""Labels on every chat template in a folder, judged by other code: `python -m tests.soak.other_templates FOLDER`.

Meant for templates that no test ships: those in the source archives of serving engines, or of models on a disk. The
end token of each is the one that it writes behind an answer. Exit code 1 where a label is wrong; a template that
cannot be proven blocks training and is no fault.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from jinja2 import TemplateError

from tests.trainers.examples.templates import CONVERSATIONS, TOOLS, answer, label_faults, user, with_own_words
from tests.trainers.examples.test_spans import characters
from trainers.examples.example import Example, RowError
from trainers.examples.spans import Marker
from trainers.examples.template import ChatTemplate

_WORDS = "ZZSENTZZ"
_TOKEN = re.compile(r"\s*(<[^<>\n]+>|\[[^\]\n]+\])")


def main() -> int:
    """One line a template: conversations proven and refused, and the faults found."""
    found = {path.read_text(encoding="utf-8"): path for path in sorted(Path(sys.argv[1]).rglob("*.jinja"))}
    faults = 0
    for source, path in found.items():
        proven, refused, wrong = judge(source)
        faults += len(wrong)
        print(f"{path.name:<45} {proven:>3} proven {refused:>3} refused {len(wrong):>3} wrong")
        for line in wrong[:2]:
            print(f"    {line}")
    print(f"{len(found)} templates, {faults} faults")
    return 1 if faults else 0


def judge(source: str) -> tuple[int, int, list[str]]:
    """(conversations proven, refused, what is wrong with the labels of the others)."""
    end = end_token(source)
    marker = Marker(ChatTemplate(source, {"bos_token": "<s>", "eos_token": end}), (end,))
    proven, refused, wrong = 0, 0, []
    for title, messages in CONVERSATIONS.items():
        own, _ = with_own_words(messages)
        try:
            uses_tools = any("tool_calls" in message for message in messages)
            shown = marker.mark(Example(tuple(own), tools=TOOLS if uses_tools and marker.card.tools else None))
        except RowError:
            refused += 1
            continue
        faults = label_faults(own, shown.text, characters(shown), marker.end_tokens, set(shown.shown))
        proven += not faults
        wrong += [f"{title}: {faults}"] if faults else []
    return proven, refused, wrong


def end_token(source: str) -> str:
    """What a template writes behind an answer, `</s>` where that is what it is given as the end."""
    template = ChatTemplate(source, {"bos_token": "<s>", "eos_token": "</s>"})
    try:
        text = template.render([user("q"), answer(_WORDS)]).text
    except (RowError, TemplateError, TypeError):
        return "</s>"
    found = _TOKEN.match(text.partition(_WORDS)[2])
    return found[1] if found else "</s>"


if __name__ == "__main__":
    sys.exit(main())
