"""The one Protocol: what a training method has to say for itself. A backend is a module with these names.

The training loop is TRL's, the path around it is `trainers.training.run`; a backend says only how to load, what to
train, what to save and how to put it back. Where a default of `models` or `peft_shared` is right, a backend says so
by assignment, so that the top of each file shows what is special about it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from trainers.plan import TrainingPlan


class Backend(Protocol):
    """One training method."""

    def refusals(self, plan: TrainingPlan) -> list[str]:
        """Sentences that say why this plan cannot be trained by this method here; empty when it can."""

    def load(self, plan: TrainingPlan) -> PreTrainedModel:
        """The base model in the dtype and storage that the plan asks for, on the device it trains on."""

    def trainable(self, model: PreTrainedModel, plan: TrainingPlan) -> Any:
        """The model with exactly the parameters of the plan requiring gradients (a PeftModel, or `model` itself)."""

    def arguments(self, plan: TrainingPlan) -> dict[str, Any]:
        """SFTConfig fields that this method needs beyond those of `trainers.training.arguments`."""

    def as_base(self, model: Any) -> AbstractContextManager[Any]:
        """While entered, `model` answers as the base model; for a full run this holds only before training."""

    def save(self, model: Any, plan: TrainingPlan, folder: Path, state: dict[str, Any] | None = None) -> None:
        """Write what was trained as safetensors with its configuration. `state`: the tensors of a sharded model."""

    def attach(self, plan: TrainingPlan, folder: Path) -> Any:
        """A freshly loaded model that answers with what `save` wrote into `folder`, in evaluation mode."""

    def merge(self, base: PreTrainedModel, folder: Path) -> PreTrainedModel:
        """`base` (16- or 32-bit) with the trained change folded into its weights. Raises NotMergeable."""
