"""trainers.training.run with FSDP2 for real on a CPU, which accelerate would turn into DDP without a word.

torchrun --nproc-per-node 2 -m tests.trainers.fsdp_on_cpu PLAN.toml --run-dir DIR
"""

from __future__ import annotations

from typing import Any

from accelerate.state import PartialState
from accelerate.utils import DistributedType

from trainers.training.ending import end_process
from trainers.training.run import main


def let_fsdp_through() -> None:
    """`MULTI_CPU` is missing from the kinds that accelerate lets become FSDP; `MULTI_GPU` is not."""
    original = PartialState.__init__

    def patched(self: PartialState, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if self._shared_state.get("distributed_type") == DistributedType.MULTI_CPU:
            self._shared_state["distributed_type"] = DistributedType.MULTI_GPU

    PartialState.__init__ = patched


if __name__ == "__main__":
    let_fsdp_through()
    end_process(main())
