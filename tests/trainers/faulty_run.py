"""The real training process with one fault put in at its edge, as FAULT in the environment says (JSON):

{"oom_above": 2}          a step with more rows than this runs out of memory
{"nan_from": 5}           the loss is NaN from this step on
{"no_room_from": 5}       the file system reports no free space from this step on
{"kill_at": 8}            the process is killed before this step, as by kill -9
{"cut_writes_from": 5}    no file can grow beyond 20 kB from this step on: a disk that fills up while it is written
"""

import json
import os
import shutil
import signal
import sys
from typing import Any


def put_in(fault: dict[str, int]) -> None:
    import resource

    import torch
    from transformers import Trainer

    original = Trainer.training_step

    def step(self: Any, model: Any, inputs: Any, *more: Any, **others: Any) -> Any:
        now = self.state.global_step + 1
        if "oom_above" in fault and inputs["input_ids"].shape[0] > fault["oom_above"]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB (put in by a test)")
        if now == fault.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        if now >= fault.get("no_room_from", 1 << 30):
            usage = shutil.disk_usage("/")
            shutil.disk_usage = lambda _path: usage._replace(free=1000)  # type: ignore[assignment]
        if now >= fault.get("cut_writes_from", 1 << 30):
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        loss = original(self, model, inputs, *more, **others)
        return loss * float("nan") if now >= fault.get("nan_from", 1 << 30) else loss

    Trainer.training_step = step


if __name__ == "__main__":
    from trainers.training import run

    put_in(json.loads(os.environ["FAULT"]))
    sys.exit(run.main())
