"""0.1 said `trainers.deliver`."""

from runpy import run_module

if __name__ == "__main__":
    run_module("trainers.handover.deliver", run_name="__main__", alter_sys=True)
