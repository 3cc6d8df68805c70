"""0.1 said `trainers.run`."""

from runpy import run_module

if __name__ == "__main__":
    run_module("trainers.training.run", run_name="__main__", alter_sys=True)
