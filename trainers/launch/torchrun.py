"""torchrun that ends with the exit code of the rank that failed first, as `python -m trainers.launch.torchrun ...`.

Plain torchrun ends with 1 whatever its workers said, so that out of memory, NaN and a full disk look alike.
The arguments are torchrun's own. This is the one file under `launch` that imports torch.
"""

from __future__ import annotations

import sys

from trainers import exit_codes


def main(arguments: list[str]) -> int:
    """Run torchrun with these arguments; gives the first failure's exit code, or 75 after a SIGTERM."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        run.main(arguments)
    except ChildFailedError as failed:
        _, first = failed.get_first_failure()
        print(f"rank {first.local_rank} ended with {first.exitcode}", file=sys.stderr)
        return first.exitcode if first.exitcode > 0 else 128 - first.exitcode
    except SignalException:
        return exit_codes.STOPPED
    return exit_codes.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
