"""Shows what this machine offers for training: GPUs, what is free, what is taken and by whom, RAM, disk, findings.

sft-advisor probe --json > machine.json       use it elsewhere: --hardware machine.json
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to look at, and how to print it."""
    parser.add_argument("--json", action="store_true", help="the profile as JSON, nothing private in it")
    parser.add_argument("--output", metavar="DIR", type=Path, default=Path("runs"), help="folder for runs")
    parser.add_argument("--hardware", metavar="TEXT", help="show a saved profile or a described machine instead")


def run(arguments: argparse.Namespace) -> int:
    """Probe and print. A machine without a usable GPU is an answer, not an error."""
    from advisor.commands.measure import Measurements
    from advisor.commands.output import show, write_text

    hardware = Measurements().hardware({"hardware": arguments.hardware, "output": str(arguments.output)})
    if arguments.json:
        from advisor.probe import hardware_to_json

        write_text(hardware_to_json(hardware).decode())
    else:
        from advisor.report.machine import machine

        show(machine(hardware))
    return 0
