"""The writer of datasets that the data room's tests have too, and markers that know nothing of the test before."""

from collections.abc import Iterator

import pytest

from tests.data.conftest import model, model_folder, write
from tests.trainers.examples.templates import marker_of

__all__ = ["model", "model_folder", "write"]


@pytest.fixture(autouse=True)
def _markers_of_its_own() -> Iterator[None]:
    """A marker keeps what it has proven: with another test's proofs, a fault of proving would not be met again."""
    yield
    marker_of.cache_clear()
