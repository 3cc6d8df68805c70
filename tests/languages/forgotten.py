"""Sentences that people would read in English whatever they chose: literals of prose that no call of `tr` takes.

Found are two lower-case words with a blank between, outside of flags and commands, wherever a literal can reach a
screen. A single word is not found: it may be a name. What is no sentence for a reader stands in NO_SENTENCES, and
what is read through a table of tests/languages/sentences.py in THROUGH_TABLES.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.languages.sentences import PROJECT, says

ROOMS = ("advisor", "trainers/examples")
"""Where every sentence is said through `tr`."""
THROUGH_TABLES = {
    "advisor/ask/question.py",
    "advisor/ask/questions.py",
    "advisor/commands/__init__.py",
    "advisor/commands/wizard/form.py",
}
NO_READER = {
    # constants whose meanings stand in docs/, and names that people type
    "advisor/estimate/constants.py",
    "advisor/estimate/file_sizes.py",
    "advisor/estimate/rates.py",
    "advisor/estimate/stacks.py",
    "advisor/estimate/table.py",
    "advisor/probe/places/spelling.py",
    "advisor/probe/places/table.py",
    # commands, and what a JSON Schema says, whose keys are English too
    "advisor/report/documents.py",
    # what an agent reads: descriptions of tools, as its protocol wants them
    "advisor/commands/mcp/server.py",
    "advisor/commands/mcp/tools.py",
    # the dataset of the demo, which is in English
    "advisor/commands/demo/dataset.py",
}
NO_SENTENCES = {
    "every turn",
    "last turn",
    "pair of",
    "import pynvml",
    "system prompt",
    "Phi and Zephyr",
    "32 nodes of DGX H100",
    "{} nodes of {}",
    "exit code {}",
    "runs merge",
    "runs push",
    "runs resume",
    '--ask "How are you?"',
}
"""Values, names of things, what is typed."""
_STYLE = re.compile(r"(?:(?:fold|bold|dim|red|green|yellow|cyan|noinherit|fg:\w+) ?)+")
_JOINING = {"a", "and", "in", "is", "it", "of", "the", "to"}
"""A sentence of six words has one of them; a list of names has none."""
_NOT_SAID = {
    # what a programmer reads
    *("AssertionError", "AttributeError", "IndexError", "KeyError", "NotImplementedError", "OSError", "RuntimeError"),
    *("ModuleNotFoundError", "TypeError", "ValueError", "Meta", "field"),
    # patterns, and texts that are looked for
    *("compile", "search", "match", "fullmatch", "findall", "sub", "split", "startswith", "endswith", "partition"),
    *("replace", "removeprefix", "removesuffix", "get", "write_line"),
    # help, which advisor/commands/helptext.py says
    *("add_argument", "add_parser", "ArgumentParser"),
}
_NOT_SAID_AS = {"style", "hint", "code", "metavar", "prog", "epilog", "usage", "description", "help", "source"}
_COMMANDS = re.compile(
    r"--[\w-]+|\b(?:sft-advisor|pip|python|hf|jq|nvidia-smi|docker|sudo|srun|tar|unzip|sqlite3)\b[^,;.:]*|<[^>]*>"
    r"|\d+ nodes of \d+x|(?:\{\} )?--.*|^(?:jq|import) .*"
)
_NOT_WRITTEN = re.compile(
    r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<!--.*?-->|<(style|script|code|pre)\b.*?</\1>|<(?:\{\{.*?\}\}|\{%.*?%\}|[^>])*>",
    re.DOTALL,
)
"""Of a template: its own parts, tags, and what is no text."""
_A_NAME = re.compile(r"\W*sft-advisor\W*|[\w-]+\.toml|&\w+;")
_PROSE = re.compile(r"[a-z]{2,}[,;:]? [a-z]{2,}")


def forgotten() -> list[str]:
    """`FILE:LINE: sentence` of each."""
    found = []
    for room in ROOMS:
        for path in sorted((PROJECT / room).rglob("*.py")):
            name = path.relative_to(PROJECT).as_posix()
            if name not in THROUGH_TABLES | NO_READER:
                found += [f"{name}:{line}: {text}" for line, text in in_file(path)]
    return found


def forgotten_in_templates() -> list[str]:
    """The same between the tags of the pages."""
    pages = (*sorted((PROJECT / "advisor").rglob("*.html")), *sorted((PROJECT / "trainers").rglob("*.html")))
    return [f"{page.relative_to(PROJECT)}: {text}" for page in pages for text in in_template(page.read_text("utf-8"))]


def in_template(source: str) -> list[str]:
    """Words that stand in a template as they are."""
    bare = [text.strip() for text in _NOT_WRITTEN.sub("\n", source).splitlines()]
    return [text for text in bare if re.search(r"[A-Za-z]{2}", text) and not _A_NAME.fullmatch(text)]


def in_file(path: Path) -> Iterator[tuple[int, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        text = _text(node)
        if text and _is_prose(text) and not isinstance(above[node], ast.JoinedStr) and not _is_spoken(node, above):
            yield node.lineno, text  # type: ignore[attr-defined]


def _text(node: ast.AST) -> str:
    """The words of a literal; {} stands where an f-string has a value."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _is_prose(text: str) -> bool:
    is_program = text.startswith("\n") or "\\" in text
    if is_program or text in NO_SENTENCES or _STYLE.fullmatch(text):
        return False
    words = text.split()
    are_names = len(words) >= 6 and not _JOINING & set(words)
    return not are_names and bool(_PROSE.search(_COMMANDS.sub("", text)))


def _is_spoken(node: ast.AST, above: dict[ast.AST, ast.AST]) -> bool:
    """Whether `tr` takes it, or nothing that a person reads is made of it."""
    if isinstance(above[node], ast.Expr):
        return True  # a docstring
    while node in above:
        outer = above[node]
        if isinstance(outer, ast.Call) and node is not outer.func and (says(outer) or _name(outer) in _NOT_SAID):
            return True
        if isinstance(outer, ast.keyword) and outer.arg in _NOT_SAID_AS:
            return True
        if isinstance(outer, ast.Compare | ast.Subscript | ast.arguments):
            return True
        if isinstance(outer, ast.Dict) and node in outer.keys:
            return True
        node = outer
    return False


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
