"""The forms of calls that serving engines find in an answer: a call that is trained in another form is never found.

    found = parser_of(answer_text, calls)      # CallForm, or None when no parser would return these calls

Each form is named as vLLM's `--tool-call-parser` names it, and finds calls by the marks that parser looks for:
https://docs.vllm.ai/en/latest/features/tool_calling/ and vllm/tool_parsers/ in its source. SGLang's parsers of the
same families look for the same marks.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

Found = tuple[str, dict[str, Any]]
"""Name and arguments of one call."""


class CallForm(NamedTuple):
    """How calls are written for one parser."""

    parser: str
    """The value of vLLM's `--tool-call-parser`."""
    find: Callable[[str], Iterator[Found]]
    """The calls in an answer; raises ValueError and its kin when what stands between the marks cannot be read."""


def parser_of(answer: str, calls: Sequence[dict[str, Any]]) -> CallForm | None:
    """The first form in which an answer's text gives back exactly these calls, in their order."""
    wanted = [(call["function"]["name"], call["function"]["arguments"]) for call in calls]
    for form in FORMS:
        try:
            found = list(form.find(answer))
        except (ValueError, LookupError, TypeError, AttributeError, SyntaxError, RecursionError):
            continue
        if len(found) == len(wanted) and all(map(_is_same, found, wanted)):
            return form
    return None


def _is_same(found: Found, wanted: Found) -> bool:
    """Whether a parsed call is the one meant; forms without types give every value back as text."""
    (name, arguments), (meant, given) = found, wanted
    return (
        name == meant
        and isinstance(arguments, dict)  # a template may write none, or something else in their place
        and arguments.keys() == given.keys()
        and all(
            arguments[key] == value or arguments[key] in (str(value), _json(value), _json(value, spaced=False))
            for key, value in given.items()
        )
    )


def _json(value: Any, spaced: bool = True) -> str:
    return json.dumps(value, ensure_ascii=False, separators=None if spaced else (",", ":"))


def _objects(text: str) -> Iterator[Found]:
    """One call object, a list of them, or several parted by semicolons."""
    rest = text.strip()
    while rest:
        value, end = json.JSONDecoder().raw_decode(rest)
        for call in value if isinstance(value, list) else [value]:
            name = call.get("name", call.get("tool_name"))
            arguments = call.get("arguments", call.get("parameters"))
            yield name, json.loads(arguments) if isinstance(arguments, str) else arguments
        rest = rest[end:].lstrip(" \n;")


def _between(opening: str, closing: str, read: Callable[[str], Iterator[Found]]) -> Callable[[str], Iterator[Found]]:
    """Reads what stands between two marks, each time."""
    pattern = re.compile(rf"{opening}(.*?){closing}", re.DOTALL)

    def find(answer: str) -> Iterator[Found]:
        for inside in pattern.findall(answer):
            yield from read(inside)

    return find


def _named(pattern: str) -> Callable[[str], Iterator[Found]]:
    """Reads name and JSON arguments out of a pattern of two groups, each time."""
    compiled = re.compile(pattern, re.DOTALL)

    def find(answer: str) -> Iterator[Found]:
        for name, arguments in compiled.findall(answer):
            yield name, json.loads(arguments)

    return find


def _tagged(call: str, parameter: str) -> Callable[[str], Iterator[Found]]:
    """Reads calls whose parameters stand in tags of their own."""
    calls, parameters = re.compile(call, re.DOTALL), re.compile(parameter, re.DOTALL)

    def find(answer: str) -> Iterator[Found]:
        for name, inside in calls.findall(answer):
            yield name.strip(), {key: _unbroken(value) for key, value in parameters.findall(inside)}

    return find


def _unbroken(value: str) -> str:
    """A value without the one line break on either side that the tags bring."""
    return value.removeprefix("\n").removesuffix("\n")


def _python(text: str) -> Iterator[Found]:
    """Calls written as Python: `[f(a=1), g(b="x")]`."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        # Templates write a line break into a text as it is; the parsers mend that.
        tree = ast.parse(text.strip().replace("\n", "\\n"), mode="eval").body
    for call in tree.elts if isinstance(tree, ast.List) else [tree]:
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("no call with named arguments")
        name = ast.unparse(call.func)
        yield name, {one.arg or "": ast.literal_eval(_true_names(one.value)) for one in call.keywords}


def _true_names(node: ast.expr) -> ast.expr:
    """JSON's true, false and null as Python's, which pythonic parsers take too."""
    constants = {"true": True, "false": False, "null": None}
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part.id in constants:
            part.__class__, part.value = ast.Constant, constants[part.id]  # type: ignore[attr-defined, assignment]
    return node


def _python_lines(text: str) -> Iterator[Found]:
    for line in text.strip().splitlines():
        yield from _python(line)


def _whole(read: Callable[[str], Iterator[Found]], opening: str = "") -> Callable[[str], Iterator[Found]]:
    """Reads an answer that is nothing but calls, up to the token that ends it."""

    def find(answer: str) -> Iterator[Found]:
        bare = _END.sub("", answer).strip().removeprefix("<|python_tag|>").strip()
        if not bare.startswith(opening):
            raise ValueError("the answer is not only calls")
        return read(bare)

    return find


_END = re.compile(r"(<[|｜][^<>]*[|｜]>|</s>)\s*$")


def _quoted(quote: str) -> Callable[[str], Iterator[Found]]:
    """Reads Gemma's calls, `call:name{key:VALUE}`, whose texts stand between marks of their own."""
    pattern = re.compile(r"call:([\w.-]+)\{(.*)\}\s*$", re.DOTALL)

    def find(text: str) -> Iterator[Found]:
        parts = text.split(quote)
        # What stands at odd places was quoted; the rest is bare keys, numbers and brackets.
        strict = "".join(
            json.dumps(part) if place % 2 else re.sub(r"([{,]\s*)([^\s{}\[\],:\"]+):", r'\1"\2":', part)
            for place, part in enumerate(parts)
        )
        name, inside = pattern.findall(strict)[0]
        yield name, json.loads("{" + re.sub(r'^([^\s{}\[\],:"]+):', r'"\1":', inside) + "}")

    return find


_FUNCTION = r"<function=([^>\n]+)>(.*?)</function>"
_PARAMETER = r"<parameter=([^>\n]+)>(.*?)</parameter>"
_SEP = "<｜tool▁sep｜>"
bare_functions = _tagged(_FUNCTION, _PARAMETER)
"""Reads `<function=f><parameter=x>1</parameter></function>` without tags around it, as agents for code write it."""
_INVOKED = (r'<invoke name="([^"]+)">(.*?)</invoke>', r'<parameter name="([^"]+)">(.*?)</parameter>')
bare_invocations = _tagged(*_INVOKED)
"""Reads `<invoke name="f"><parameter name="x">1</parameter></invoke>` without tags that are known around it."""

FORMS: tuple[CallForm, ...] = (
    CallForm("hermes", _between("<tool_call>", "</tool_call>", _objects)),
    CallForm("qwen3_coder", _between("<tool_call>", "</tool_call>", _tagged(_FUNCTION, _PARAMETER))),
    CallForm(
        "glm45",
        _tagged(
            r"<tool_call>([^<\n]+)(.*?)</tool_call>",
            r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>",
        ),
    ),
    CallForm(
        "deepseek_v3",
        _named(rf"<｜tool▁call▁begin｜>function{_SEP}([^\n]+)\n```json\n(.*?)\n```<｜tool▁call▁end｜>"),
    ),
    CallForm("deepseek_v31", _named(rf"<｜tool▁call▁begin｜>([^<\n]+){_SEP}(.*?)<｜tool▁call▁end｜>")),
    CallForm(
        "kimi_k2",
        _named(
            r"<\|tool_call_begin\|>(?:functions\.)?([^<]+?):\d+\s*<\|tool_call_argument_begin\|>(.*?)<\|tool_call_end\|>"
        ),
    ),
    CallForm("mistral", _between(r"\[TOOL_CALLS\]", r"(?=\[TOOL_CALLS\]|</s>|$)", _objects)),
    CallForm(
        "mistral",
        _named(r"\[TOOL_CALLS\]([\w.-]+)(?:\[CALL_ID\]\w+)?(?:\[ARGS\])?(\{.*?\})(?=\[TOOL_CALLS\]|</s>|$)"),
    ),
    CallForm(
        "openai",
        _named(
            r"to=functions\.([\w.-]+)(?:<\|channel\|>commentary)?\s*(?:<\|constrain\|>)?json<\|message\|>(.*?)<\|call\|>"
        ),
    ),
    CallForm("gemma4", _between(r"<\|tool_call>", r"<tool_call\|>", _quoted('<|"|>'))),
    CallForm("functiongemma", _between("<start_function_call>", "<end_function_call>", _quoted("<escape>"))),
    CallForm("lfm2", _between(r"<\|tool_call_start\|>", r"<\|tool_call_end\|>", _python)),
    CallForm("olmo3", _between("<function_calls>", "</function_calls>", _python_lines)),
    CallForm(
        "minimax_m2",
        _between(
            "<minimax:tool_call>",
            "</minimax:tool_call>",
            _tagged(*_INVOKED),
        ),
    ),
    CallForm(
        "muse_glimmer",
        _between(
            "<atem:function_calls>",
            "</atem:function_calls>",
            _tagged(
                r'<atem:invoke name="([^"]+)">(.*?)</atem:invoke>',
                r'<atem:parameter name="([^"]+)"[^>]*>(.*?)</atem:parameter>',
            ),
        ),
    ),
    CallForm("seed_oss", _between("<seed:tool_call>", "</seed:tool_call>", _tagged(_FUNCTION, _PARAMETER))),
    CallForm("cohere_command3", _between(r"<\|START_ACTION\|>", r"<\|END_ACTION\|>", _objects)),
    CallForm("jamba", _between("<tool_calls>", "</tool_calls>", _objects)),
    CallForm("granite", _between(r"<\|tool_call\|>", r"(?=<\|end_of_text\|>|$)", _objects)),
    CallForm("granite-20b-fc", _between("<function_call>", r"(?=<function_call>|<\|endoftext\|>|$)", _objects)),
    CallForm("internlm", _between(r"<\|action_start\|><\|plugin\|>", r"<\|action_end\|>", _objects)),
    CallForm("phi4_mini_json", _between("functools", r"(?=<\||$)", _objects)),
    CallForm("llama3_json", _whole(_objects, "{")),
    CallForm("xlam", _whole(_objects, "[{")),
    CallForm("pythonic", _whole(_python, "[")),
)
"""Marked forms first: those without marks would also read what stands between the marks of others."""
