"""What rounding costs: the loss of a GGUF file on the kept-back part beside that of the model it was made from.

    python -m trainers.training.rounding RUN_DIR RUN_DIR/merged/NAME-Q8_0.gguf

transformers takes the file's numbers apart again, so that both losses come from the same code; llama.cpp's own
products round a little on top. Prints one JSON object, or null where nothing was kept back.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from trainers.plan import ModelRef, TrainingPlan, load_plan
from trainers.run_folder import layout
from trainers.run_folder.failures import explained
from trainers.training.evaluate import Score, limits_for, score

if TYPE_CHECKING:
    from trainers.training.dataset import PreparedData


def losses(run_dir: Path, gguf: Path) -> dict[str, Any] | None:
    """`loss` and `loss_16bit` in nats per supervised token, and `tokens`; None where nothing was kept back."""
    from trainers.methods.models import end_token_ids, load_model, load_tokenizer
    from trainers.training import quiet
    from trainers.training.dataset import prepare
    from trainers.training.rendering import prepare_tokenizer

    quiet.libraries()
    plan = load_plan(run_dir / layout.PLAN).on_one_device()
    tokenizer = load_tokenizer(plan)
    prepare_tokenizer(tokenizer)
    data: PreparedData = prepare(plan, tokenizer, run_dir, end_token_ids(plan))
    limits = msgspec.structs.replace(limits_for(plan), samples=0)

    def scored(model: ModelRef) -> Score:
        found = score(load_model(_whole(plan, model)), tokenizer, data, plan, limits)
        gc.collect()
        return found

    whole = scored(ModelRef(name=str(gguf.parent)))
    rounded = scored(ModelRef(name=str(gguf.parent), gguf_file=gguf.name))
    if whole.loss is None or rounded.loss is None:
        return None
    return {"loss": rounded.loss, "loss_16bit": whole.loss, "tokens": rounded.tokens}


def _whole(plan: TrainingPlan, model: ModelRef) -> TrainingPlan:
    """The plan with another model, which is whole: no adapter, nothing packed in 4 bits."""
    return msgspec.structs.replace(plan, model=model, method="full", quantization="none")


def main(arguments: list[str]) -> int:
    """Print the losses. Return an exit code of trainers.exit_codes."""
    run_dir, gguf = map(Path, arguments)
    return explained(lambda: print(json.dumps(losses(run_dir, gguf)), flush=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
