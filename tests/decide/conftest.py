"""One rule book and a short way to a recommendation, shared by the tests of the decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from advisor.decide.advise import advise
from advisor.decide.facts import build_facts, choose_devices
from advisor.decide.fill import Context, plan_frame
from advisor.decide.recommendation import Recommendation
from advisor.model import resolve_model
from advisor.probe import hardware_from_text
from advisor.probe.hardware import Hardware
from rules.engine import RuleBook, load_rule_book

CHATS: dict[str, Any] = {
    "data.kind": "chat",
    "data.examples": 5_000,
    "data.completion_tokens": 2_000_000,
    "data.total_tokens": 4_000_000,
    "data.len_p95": 1_500,
    "task.count": 1,
    "task.priority": "quality",
    "task.prompting_tried": True,
}

Advise = Callable[..., Recommendation]
Prepare = Callable[..., Context]


@pytest.fixture(scope="session")
def book() -> RuleBook:
    return load_rule_book()


@pytest.fixture(scope="session")
def recommend(book: RuleBook) -> Advise:
    def run(hardware: str, model: str, search_changes: bool = False, **answers: Any) -> Recommendation:
        given = CHATS | {key.replace("__", "."): value for key, value in answers.items()}
        return advise(
            {key: value for key, value in given.items() if value is not None},
            hardware_from_text(hardware),
            resolve_model(model),
            None,
            book,
            search_changes=search_changes,
        )

    return run


@pytest.fixture(scope="session")
def prepare(book: RuleBook) -> Prepare:
    """What candidates are built in, one example a row; `available_bytes`: the free memory of the devices."""

    def run(hardware: str | Hardware, model: str, available_bytes: int | None = None, **answers: Any) -> Context:
        found = hardware_from_text(hardware) if isinstance(hardware, str) else hardware
        devices = choose_devices(found)
        if available_bytes is not None:
            devices = msgspec.structs.replace(devices, available_bytes=available_bytes)
        spec = resolve_model(model)
        given = CHATS | {key.replace("__", "."): value for key, value in answers.items()}
        known = {key: value for key, value in given.items() if value is not None}
        facts = build_facts(known, found, devices, spec, None, None)
        return Context(
            facts=msgspec.structs.replace(facts, values=facts.values | {"model.packs_apart": False}),
            devices=devices,
            model=spec,
            frame=plan_frame(spec, devices, None, "runs"),
            book=book,
        )

    return run
