"""0.1 said `trainers.merge`."""

from runpy import run_module

if __name__ == "__main__":
    run_module("trainers.merging.merge", run_name="__main__", alter_sys=True)
