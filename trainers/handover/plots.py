"""The loss of a run as a picture, loss.png, for those who want to paste it somewhere."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from trainers.run_folder import layout
from trainers.run_folder.metrics import points, read_metrics


def loss_png(run_dir: Path) -> Path | None:
    """Training and evaluation loss over steps as loss.png; None when nothing was logged."""
    with contextlib.chdir(sys.prefix):  # its import obeys a matplotlibrc of the current folder, or fails over it
        import matplotlib as mpl
    mpl.use("Agg")
    from matplotlib import pyplot

    metrics = read_metrics(run_dir)
    if not points(metrics, "loss"):
        return None
    figure, axes = pyplot.subplots(figsize=(7, 4), dpi=120)
    for name, label, style in (("loss", "training", "-"), ("eval_loss", "evaluation", "o-")):
        curve = points(metrics, name)
        if curve:
            axes.plot(*zip(*curve, strict=True), style, label=label, linewidth=1.4, markersize=4)
    axes.set(xlabel="step", ylabel="loss (nats per token)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    target = run_dir / layout.LOSS_CURVES
    figure.savefig(target)
    pyplot.close(figure)
    return target
