"""0.1 said `trainers.compare`."""

from runpy import run_module

if __name__ == "__main__":
    run_module("trainers.training.compare", run_name="__main__", alter_sys=True)
