"""Trackers that a plan reports to besides the run's own metrics.jsonl: they work without an account or a network."""

from __future__ import annotations

import netrc
import os
from collections.abc import MutableMapping
from pathlib import Path

from trainers.plan import TrainingPlan

WANDB_HOST = "api.wandb.ai"


def prepare_reporters(plan: TrainingPlan, run_dir: Path, environment: MutableMapping[str, str] = os.environ) -> str:
    """Set what wandb reads where the user has not. Return what there is to say about it, "" for nothing.

    Without an account wandb ends the run at its first step; offline it writes into the run folder instead.
    """
    if "wandb" not in plan.report_to:
        return ""
    environment.setdefault("WANDB_DIR", str(run_dir))
    environment.setdefault("WANDB_PROJECT", "sft-advisor")
    if "WANDB_MODE" in environment or "WANDB_API_KEY" in environment or _logged_in(environment):
        return ""
    environment["WANDB_MODE"] = "offline"
    return f"wandb: nobody is logged in here, so its log stays in {run_dir / 'wandb'}; `wandb sync` sends it later"


def _logged_in(environment: MutableMapping[str, str]) -> bool:
    file = Path(environment.get("NETRC") or Path(environment.get("HOME", "~")).expanduser() / ".netrc")
    try:
        return netrc.netrc(str(file)).authenticators(WANDB_HOST) is not None
    except (OSError, netrc.NetrcParseError):
        return False
