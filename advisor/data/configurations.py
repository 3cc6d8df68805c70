"""The finding about a folder that holds several configurations of a dataset, all of which would be trained on."""

from __future__ import annotations

from collections.abc import Iterator

from advisor.base.language import tr
from advisor.data.verdict import Finding
from trainers.examples.source import Source
from trainers.foreign.text import shell

SHOWN = 6


def judge_configurations(source: Source) -> Iterator[Finding]:
    """A warning where files of several configurations are read as one dataset."""
    places = source.configurations
    if not places:
        return
    paths = [f"{source.name.rstrip('/')}/{place}" for place in places]
    listed = ", ".join(places[:SHOWN]) + (", ..." if len(places) > SHOWN else "")
    yield Finding(
        code="several-configurations",
        level="warn",
        what=tr("{number} parts of the folder are read as one dataset: {listed}", number=len(places), listed=listed),
        why=tr(
            "Publishers keep apart what is not meant to be trained on together: the same questions answered in "
            "another way, other languages, other stages."
        ),
        fix=tr(
            "Name the one that is meant: --dataset {one}; to train on all of them knowingly: --dataset {all}",
            one=shell(paths[0]),
            all=shell(" ".join(paths)),
        ),
    )
