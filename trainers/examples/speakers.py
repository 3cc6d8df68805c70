"""A dialogue written out with the names of its speakers: `User: ... Bot: ...`, `### Question: ... ### Answer: ...`.

    turns_spoken("Q: Why?\\nA: So.")        # [("user", "Why?"), ("assistant", "So.")]

It is told from a story or a script by one name for each side, by sides that take turns, and by a text that begins
with one of the names: what quotes a dialogue has words of its own before it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import pairwise

Spoken = tuple[str, str]
"""A role and what is said in it."""

USERS = ("user", "human", "usr", "用户", "人类", "ユーザー", "patient", "病人", "患者")
BOTS = (
    *("assistant", "bot", "chatbot", "ai", "gpt", "chatgpt", "model", "助手", "机器人", "アシスタント"),
    *("doctor", "医生"),
)
_ASKING = (
    *("customer", "client", "客户", "student", "caller", "interviewer"),
    *(
        "question",
        "q",
        "query",
        "prompt",
        "instruction",
        "instruct",
        "task",
        "problem",
        "问",
        "问题",
        "提问",
        "指令",
        "質問",
        "指示",
    ),
    *("질문", "frage", "pregunta", "pergunta", "вопрос"),
)
_ANSWERING = (
    *("agent", "support", "客服", "teacher", "tutor", "therapist", "counselor", "operator", "interviewee"),
    *("answer", "a", "response", "reply", "output", "completion", "solution", "答", "回答", "答案", "输出", "出力"),
    *("답변", "antwort", "respuesta", "resposta", "réponse", "ответ"),
)
_BESIDE = ("input", "context", "passage", "background", "上下文", "背景", "输入", "入力")
"""What a question is about, where it stands beside one."""
_SYSTEM = ("system", "system prompt", "系统")

_PEOPLE = {**dict.fromkeys(USERS, "user"), **dict.fromkeys(BOTS, "assistant")}
_LABELS = {
    **dict.fromkeys(_ASKING, "user"),
    **dict.fromkeys(_ANSWERING, "assistant"),
    **dict.fromkeys(_BESIDE, "beside"),
    **dict.fromkeys(_SYSTEM, "system"),
    **_PEOPLE,
}


def role_of(name: str) -> str:
    """The role that a speaker's name stands for; "" for any other name, and for what is no speaker."""
    role = _LABELS.get(name.lower(), "")
    return "" if role == "beside" else role


def names_pattern(names: Collection[str]) -> str:
    """A pattern of any of the names, the longer ones first."""
    return "|".join(sorted(names, key=len, reverse=True))


PEOPLE_PATTERN, LABELS_PATTERN = names_pattern(_PEOPLE), names_pattern(_LABELS)
_COLON = r"[>\]*]*\s?[:：]\**"
_PERSON = re.compile(rf"(?:^|(?<=[\s>。！？.!?]))[<\[*]*(?P<name>{PEOPLE_PATTERN})[>\]*]*\s?[:：]", re.IGNORECASE)
# At the start of a line, marked as a heading anywhere, or written large behind the end of a sentence.
_LABEL = re.compile(
    rf"(?:(?:^|(?<=\n))\s*[<\[*]*|(?<=[.!?。！？>”\"])\s*(?=[A-Z]))(?P<name>(?i:{LABELS_PATTERN})){_COLON}"
    rf"|\s*\#{{1,6}}\s?(?P<heading>(?i:{LABELS_PATTERN}))(?:{_COLON}|[ \t]*\n)"
)
_EDGES = " \t\r\n<[*#"
_LONGEST_PREFACE = 1000
"""Characters of an introduction that may stand before sections which are marked as headings."""


def turns_within(text: str) -> list[Spoken]:
    """The turns of people inside the words of one turn; questions and answers there may be examples in a prompt."""
    found = [(one["name"].lower(), one.start(), one.end()) for one in _PERSON.finditer(text)]
    if len(found) < 2 or text[: found[0][1]].strip(_EDGES):
        return []
    sides = [_PEOPLE[name] for name, _, _ in found]
    return [] if _repeats(sides) else list(zip(sides, _said(text, found), strict=True))


def turns_spoken(text: str) -> list[Spoken]:
    """(role, words) of the turns that a whole text is made of, in order; empty where it is not a dialogue.

    A question is joined with what stands beside it (context, input), and an introduction comes out as the system's.
    """
    every = list(_LABEL.finditer(text))
    found = _of_two_sides([((one["name"] or one["heading"]).lower(), one.start(), one.end()) for one in every])
    if len(found) < 2:
        return []
    before = text[: found[0][1]].strip(_EDGES)
    if before and (not every[0]["heading"] or len(before) > _LONGEST_PREFACE):
        return []
    roles = [_role(name, found) for name, _, _ in found]
    turns = _joined(list(zip(roles, _said(text, found), strict=True)))
    if _repeats([role for role, _ in turns if role != "system"]) or turns[-1][0] != "assistant":
        return []
    return [("system", before), *turns] if before else turns


Found = list[tuple[str, int, int]]
"""Name, start and end of each label."""


def _of_two_sides(found: Found) -> Found:
    """The labels of the first that asks and the first that answers, and what stands beside a question of theirs."""
    sides = [_LABELS[name] for name, _, _ in found]
    if "user" not in sides and "beside" in sides:
        asker = found[sides.index("beside")][0]
    elif "user" in sides:
        asker = found[sides.index("user")][0]
    else:
        return []
    if "assistant" not in sides:
        return []
    answerer = found[sides.index("assistant")][0]
    if (asker in _PEOPLE) != (answerer in _PEOPLE):
        return []
    kept: Found = []
    for one, side in zip(found, sides, strict=True):
        is_open = not kept or kept[-1][0] != answerer
        if one[0] in (asker, answerer) or (side in ("beside", "system") and is_open) or (side == "beside" and kept):
            kept.append(one)
    return kept


def _role(name: str, found: Found) -> str:
    side = _LABELS[name]
    asks = any(_LABELS[one] == "user" for one, _, _ in found)
    return "user" if side == "beside" and not asks else side


def _said(text: str, found: Found) -> list[str]:
    """The words behind each label."""
    ends = [*(start for _, start, _ in found[1:]), len(text)]
    return [text[start:end].strip().rstrip("<[*#") for (_, _, start), end in zip(found, ends, strict=True)]


def _repeats(sides: list[str]) -> bool:
    return any(one == other for one, other in pairwise(sides))


def _joined(turns: list[Spoken]) -> list[Spoken]:
    """The turns with what stands beside a question in it, as paragraphs in their order."""
    made: list[Spoken] = []
    waiting: list[str] = []
    for role, words in turns:
        if role == "beside" and made and made[-1][0] == "user":
            made[-1] = ("user", f"{made[-1][1]}\n\n{words}")
        elif role == "beside":
            waiting.append(words)
        else:
            made.append((role, "\n\n".join([*waiting, words]) if role == "user" else words))
            waiting = [] if role == "user" else waiting
    return made
