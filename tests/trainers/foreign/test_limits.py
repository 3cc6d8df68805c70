"""What asks for too much memory or time gets an error in this process, and nothing else changes."""

import resource
import sys

import pytest

from trainers.examples.example import RowError
from trainers.examples.template import ChatTemplate
from trainers.foreign.limits import READING_BYTES, OutOfTime, allow, bounded_memory, bounded_time

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA bounds mappings on Linux only")


@linux_only
def test_memory_beyond_the_bound_is_an_error_and_the_bound_ends_with_the_block() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with bounded_memory():
        with pytest.raises(MemoryError):
            bytes(READING_BYTES * 2)
        assert len(bytes(READING_BYTES // 8)) > 0
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@linux_only
def test_a_large_file_may_take_more() -> None:
    with bounded_memory():
        bound = resource.getrlimit(resource.RLIMIT_DATA)[0]
        allow(1000)
        assert resource.getrlimit(resource.RLIMIT_DATA)[0] >= bound + 1000


def test_what_never_ends_is_ended() -> None:
    with pytest.raises(OutOfTime), bounded_time(0.1):
        while True:
            pass


ENDLESS = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
]
HUGE = [
    "{{ 'A' * 3000000000 }}",
    "{% set x = 'a' * 1000000 %}" + "{% set x = x ~ x %}" * 40 + "{{ x }}",
    "{% set x = 9 %}" + "{% set x = x * x %}" * 40 + "{{ x }}",
    "{{ 2 ** 99999999 }}",
    "{% for m in messages %}{{ 'a' * 1000000 }}{% endfor %}",
]
FAILING = [
    "{{ 1 / 0 }}", "{{ 10**400 * 1.0 }}", "{% break %}", "{{ cycler() }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
]  # fmt: skip


@pytest.mark.parametrize("source", [*ENDLESS, *HUGE, *FAILING])
def test_a_hostile_template_costs_its_row(source: str) -> None:
    with pytest.raises(RowError, match="the chat template"):
        ChatTemplate(source).render([{"role": "user", "content": "hi"}])


def test_a_template_that_did_not_end_once_is_not_tried_on_every_row() -> None:
    template = ChatTemplate(ENDLESS[1])
    with pytest.raises(RowError, match="does not end within"):
        template.render([{"role": "user", "content": "hi"}])
    with pytest.raises(RowError, match="takes too long"):
        template.render([{"role": "user", "content": "hi"}])
