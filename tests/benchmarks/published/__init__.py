"""Rows of the table of published measurements, read as they state: a model, a plan, a stack and what was measured.

A column or note that has no expression raises NotExpressed with the reason; nothing is guessed in its place.
"""

from tests.benchmarks.published.rows import GIB, NotExpressed, NotStated, read_rows, source_of
from tests.benchmarks.published.runs import Run, express

__all__ = ["GIB", "NotExpressed", "NotStated", "Run", "express", "read_rows", "source_of"]
