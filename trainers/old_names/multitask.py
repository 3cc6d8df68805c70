"""0.1 said `trainers.multitask`."""

from runpy import run_module

if __name__ == "__main__":
    run_module("trainers.supervision.multitask", run_name="__main__", alter_sys=True)
