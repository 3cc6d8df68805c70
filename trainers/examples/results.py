"""Which result belongs to which call, and what is wrong where that cannot be told.

Templates show results in the order in which they stand, and most of them without ids: results in another order than
their calls, or without a call, teach the model to read them wrongly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from trainers.language import tr

Message = dict[str, Any]
FaultCode = Literal["unmatched-result", "missing-result", "result-order", "result-ids"]


class ResultFault(NamedTuple):
    """What is wrong with the results of one turn's calls."""

    code: FaultCode
    what: str


class _Round(NamedTuple):
    """The calls of one turn and the results directly behind it."""

    place: int
    calls: list[Any]
    """Ids, None for a call without one."""
    results: list[Any]
    goes_on: bool
    """Whether something follows the results."""


def result_faults(messages: Sequence[Message]) -> Iterator[ResultFault]:
    """What is wrong with the results in a conversation, a code at most once for each turn that calls."""
    behind = 0
    for one in _rounds(messages):
        yield from _faults(one)
        behind += len(one.results)
    if stray := sum(message["role"] == "tool" for message in messages) - behind:
        yield ResultFault("unmatched-result", tr("{results} behind no call", results=_results(stray)))


def _faults(one: _Round) -> Iterator[ResultFault]:
    turn, calls, results = tr("message {place}", place=one.place + 1), one.calls, one.results
    named = [result for result in results if result]
    followed = tr(
        "{calls} in {turn}, {results} behind it", calls=_calls(len(calls)), turn=turn, results=_results(len(results))
    )
    if len(results) > len(calls):
        yield ResultFault("unmatched-result", followed)
    elif len(results) < len(calls) and one.goes_on:
        yield ResultFault("missing-result", followed)
    if len({call for call in calls if call}) < sum(call is not None for call in calls):
        yield ResultFault(
            "result-ids",
            tr("calls of {turn} have the same id, {call}", turn=turn, call=next(call for call in calls if call)),
        )
    elif len(calls) > 1 and results and (len(named) < len(results) or None in calls):
        yield ResultFault("result-ids", tr("calls of {turn}, or their results, have no ids", turn=turn))
    elif None not in calls and (strange := [result for result in named if result not in calls]):
        yield ResultFault(
            "unmatched-result",
            tr(
                "a result behind {turn} answers {strange}; its calls are {calls}",
                turn=turn,
                strange=strange[0],
                calls=", ".join(calls),
            ),
        )
    elif len(named) == len(calls) > 1 and named != calls and set(named) == set(calls):
        yield ResultFault(
            "result-order",
            tr(
                "{turn} calls {calls}; their results are {named}",
                turn=turn,
                calls=", ".join(calls),
                named=", ".join(named),
            ),
        )


def _calls(number: int) -> str:
    return tr("1 call") if number == 1 else tr("{number} calls", number=number) if number else tr("no calls")


def _results(number: int) -> str:
    return tr("1 result") if number == 1 else tr("{number} results", number=number) if number else tr("no results")


def in_call_order(messages: Sequence[Message]) -> list[Message]:
    """The messages with the results of each turn in the order of its calls, where their ids tell it."""
    made = list(messages)
    for one in _rounds(messages):
        start = one.place + 1
        behind = made[start : start + len(one.results)]
        if set(one.results) == set(one.calls) and len(set(one.calls)) == len(one.calls) == len(one.results):
            by_id = {message["tool_call_id"]: message for message in behind}
            behind = [by_id[call] for call in one.calls]
        made[start : start + len(one.results)] = behind
    return made


def with_own_ids(messages: Sequence[Message]) -> list[Message]:
    """The messages with an id for each call, and the id of the call in the same place for each result.

    Only for turns with as many results as calls; the results are taken to stand in the order of the calls.
    """
    made = [dict(message) for message in messages]
    for one in _rounds(messages):
        if len(one.results) not in (0, len(one.calls)):
            continue
        ids = [f"call_{one.place}_{number}" for number in range(len(one.calls))]
        calls = made[one.place]["tool_calls"]
        made[one.place]["tool_calls"] = [{**call, "id": new} for call, new in zip(calls, ids, strict=True)]
        for number in range(len(one.results)):
            made[one.place + 1 + number]["tool_call_id"] = ids[number]
    return made


def _rounds(messages: Sequence[Message]) -> Iterator[_Round]:
    for place, message in enumerate(messages):
        if not message.get("tool_calls"):
            continue
        end = place + 1
        while end < len(messages) and messages[end]["role"] == "tool":
            end += 1
        calls = [call.get("id") or None for call in message["tool_calls"]]
        results = [one.get("tool_call_id") or None for one in messages[place + 1 : end]]
        yield _Round(place, calls, results, goes_on=end < len(messages))
