"""0.1 said `trainers.embedded`."""

from runpy import run_module

if __name__ == "__main__":
    run_module("trainers.training.embedded", run_name="__main__", alter_sys=True)
