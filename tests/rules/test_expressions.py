"""Which facts an expression reads, and how values are rendered."""

from __future__ import annotations

import pytest

from rules.expressions import facts_named, facts_of
from rules.messages import format_value


def test_facts_read_and_facts_only_asked_about_are_told_apart() -> None:
    text = 'known.data.kind && data.kind == "task.count" && plan.lora_targets.exists(t, t == "x") && known.task.count'
    assert facts_of(text) == ("data.kind", "plan.lora_targets")
    assert facts_named(text) == ("data.kind", "plan.lora_targets", "task.count")


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (25_205_000_000, "bytes", "23.5 GiB"),
        (84_000_000, "bytes", "80 MiB"),
        (900, "bytes", "900 bytes"),
        (2_000_000, "tokens", "2,000,000"),
        (400.4, "tokens", "400"),
        (8_190_735_360, "short", "8.19B"),
        (2_000, "short", "2k"),
        (0.06, "percent", "6 %"),
        (45, "seconds", "45 s"),
        (2_400, "seconds", "40 min"),
        (200_000, "seconds", "55 h 33 min"),
        (2e-4, "", "2e-4"),
        (1.5e-4, "", "1.5e-4"),
        (0.05, "", "0.05"),
        (1e-5, "", "1e-5"),
        (3.0, "", "3"),
        (16, "", "16"),
        (True, "", "yes"),
        (["q_proj", "v_proj"], "", "q_proj, v_proj"),
        ([], "", "none"),
        (None, "bytes", "unknown"),
    ],
)
def test_values_are_rendered_by_their_unit(value: object, unit: str, shown: str) -> None:
    assert format_value(value, unit) == shown
