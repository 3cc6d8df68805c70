"""One bit flipped in each file of a checkpoint, and in its seal: `python -m tests.soak.flips [SEED]`.

A run is killed when its steps are made and its result is not. Its folder is copied for each file, one bit of that
file is flipped wherever it may be, and the copy is resumed. It has to go on from the older checkpoint, and end as a
run that nothing disturbed. Five minutes on two idle cores.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.soak.kills import POLL_SECONDS, compared, end, in_process, left, merge, plans, reached, supervise
from trainers import exit_codes
from trainers.run_folder.checkpoint import QUARANTINE, checkpoints_dir, scan
from trainers.run_folder.record import read_record


def flip(file: Path, draw: random.Random) -> str:
    """Turn one bit over. Return which."""
    content = bytearray(file.read_bytes())
    byte, bit = draw.randrange(len(content)), draw.randrange(8)
    content[byte] ^= 1 << bit
    file.write_bytes(content)
    return f"bit {bit} of byte {byte} of {len(content)}"


def main(arguments: list[str]) -> int:
    """Flip in each file. Return 1 when one of the runs is not as it would have been."""
    draw = random.Random(int(arguments[0]) if arguments else 0)
    folder = Path(tempfile.mkdtemp(prefix="flipped-"))
    differing = count = 0
    for name, plan in plans(folder).items():
        reference, stopped = folder / name, folder / f"{name}-stopped"
        for run_dir in (reference, stopped):
            process = in_process(supervise, run_dir, plan, run_dir.with_suffix(".pid"))
            while run_dir == stopped and not reached("saving", run_dir, 0):
                time.sleep(POLL_SECONDS)
            if run_dir == stopped:
                process.kill()
                end(int(run_dir.with_suffix(".pid").read_text(encoding="utf-8")))
            process.join()
        if plan.method != "full":
            in_process(merge, reference).join()
        undisturbed, newest = left(reference), scan(stopped)[0].path
        for file in sorted(path.relative_to(newest) for path in newest.rglob("*") if path.is_file()):
            run_dir = folder / f"{name}-{file.name}"
            shutil.copytree(stopped, run_dir)
            where = flip(checkpoints_dir(run_dir) / newest.name / file, draw)
            process = in_process(supervise, run_dir, None, run_dir.with_suffix(".pid"))
            process.join()
            if plan.method != "full":
                in_process(merge, run_dir).join()
            problems = list(compared(run_dir, undisturbed)) if process.exitcode == exit_codes.DONE else []
            if process.exitcode != exit_codes.DONE:
                problems.append(f"ended with {process.exitcode}")
            if not (checkpoints_dir(run_dir) / QUARANTINE / newest.name).exists():
                problems.append("the checkpoint was taken")
            since = read_record(run_dir / "run.json")["attempts"][-1].get("resumed_from_step")
            print(f"{name} {file}: {where}; went on from step {since}", *problems, sep="\n    ", flush=True)
            count, differing = count + 1, differing + bool(problems)
    print(f"{count} flips, {differing} runs not as undisturbed; {folder}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
