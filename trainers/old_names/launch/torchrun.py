"""0.1 said `trainers.launch.torchrun`."""

from runpy import run_module

if __name__ == "__main__":
    run_module("trainers.training.torchrun", run_name="__main__", alter_sys=True)
