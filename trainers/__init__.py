"""Trainers: a plan carried out, merged, handed over, exported; whatever needs torch in a process of its own.

torch is imported in `methods/`, `training/` and `merging/` only; the advisor imports the other folders.
"""

from pathlib import Path

# Job scripts of 0.1 start `python -m trainers.run` and its siblings: found here for one release.
__path__.append(str(Path(__file__).with_name("old_names")))
