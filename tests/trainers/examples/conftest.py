"""The writer of datasets that the data room's tests have too."""

from tests.data.conftest import model, model_folder, write

__all__ = ["model", "model_folder", "write"]
