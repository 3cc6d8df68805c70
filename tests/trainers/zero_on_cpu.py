"""trainers.training.run with DeepSpeed on a CPU, where the Trainer starts no process group that DeepSpeed knows of.

DS_ACCELERATOR=cpu torchrun --nproc-per-node 2 -m tests.trainers.zero_on_cpu PLAN.toml --run-dir DIR
"""

from __future__ import annotations

from trainers.training.ending import end_process
from trainers.training.run import main

if __name__ == "__main__":
    import deepspeed

    deepspeed.init_distributed("gloo")
    end_process(main())
