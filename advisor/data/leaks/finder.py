"""LeakFinder: shows suspect rows to the detectors and keeps count by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from advisor.data.leaks.personal import email_detector, number_detectors, phone_detector
from advisor.data.leaks.secrets import secret_detector
from advisor.data.leaks.trace import Detector, Trace
from advisor.data.marked import PLAIN, role_at
from trainers.plan import LossOn

if TYPE_CHECKING:
    import polars

SHOWN_LINES = 5


class Leak(msgspec.Struct, kw_only=True):
    """One kind of secret or personal data: in how many rows, and the first few lines."""

    code: str
    name: str
    is_secret: bool
    rows: int = 0
    learnt_rows: int = 0
    """Those in which it stands in what is trained on."""
    lines: list[int] = []
    shown: str = ""
    """The first, masked."""
    set_aside: Counter[str] = msgspec.field(default_factory=Counter)
    """Why others were not counted -> in how many rows."""


class LeakFinder:
    """Looks at batches of marked texts. `missing` names packages that are not installed."""

    def __init__(self, loss_on: LossOn = "assistant") -> None:
        self.missing: list[str] = []
        self._learnt = None if loss_on == "all" else ("a", PLAIN)
        self._found: dict[str, Leak] = {}
        self._resources = ExitStack()
        self._detectors = [email_detector(), phone_detector(), *self._secrets(), *self._numbers()]

    def look(self, lines: Sequence[int], marked: Sequence[str], texts: polars.Series) -> None:
        """One batch of marked texts with their lines, and the texts as polars holds them."""
        import polars

        matches = polars.DataFrame({"text": texts}).select(
            polars.any_horizontal(polars.col("text").str.contains(hint) for hint in detector.hints).alias(str(number))
            for number, detector in enumerate(self._detectors)
        )
        for number, detector in enumerate(self._detectors):
            for index in matches[str(number)].arg_true().to_list():
                self._count(lines[index], marked[index], detector.find(marked[index]))

    def codes_in(self, text: str) -> set[str]:
        """The findings that one marked text shows."""
        return {trace.code for detector in self._detectors for trace in detector.find(text) if not trace.harmless}

    def finish(self) -> list[Leak]:
        """Everything that counts, secrets first, the most frequent first."""
        self._resources.close()
        leaks = [leak for leak in self._found.values() if leak.rows]
        return sorted(leaks, key=lambda leak: (not leak.is_secret, -leak.rows, leak.code))

    def _count(self, line: int, text: str, traces: Iterable[Trace]) -> None:
        by_code: dict[str, list[Trace]] = {}
        for trace in traces:
            by_code.setdefault(trace.code, []).append(trace)
        for code, found in by_code.items():
            first = found[0]
            leak = self._found.setdefault(code, Leak(code=code, name=first.name, is_secret=first.is_secret))
            counting = [trace for trace in found if not trace.harmless]
            if not counting:
                leak.set_aside[first.harmless] += 1
                continue
            leak.rows += 1
            leak.learnt_rows += any(self._is_learnt(text, trace) for trace in counting)
            leak.shown = leak.shown or counting[0].shown
            if len(leak.lines) < SHOWN_LINES:
                leak.lines.append(line)

    def _is_learnt(self, text: str, trace: Trace) -> bool:
        return self._learnt is None or role_at(text, trace.place) in self._learnt

    def _secrets(self) -> list[Detector]:
        try:
            return [secret_detector(self._resources)]
        except ImportError:
            self.missing.append("detect-secrets")
            return []

    def _numbers(self) -> list[Detector]:
        try:
            return number_detectors()
        except ImportError:
            self.missing.append("python-stdnum")
            return []
