"""Shows what this machine offers for training: GPUs, what is free, what is taken and by whom, RAM, disk, findings.

sft-advisor probe --json > machine.json       use it elsewhere: --hardware machine.json
sft-advisor probe bench                       measure the speed of this device once, in about 20 seconds
sft-advisor probe models                      the models that are known without a download
sft-advisor probe models --family Qwen3 --fits "RTX 4090"
"""

from __future__ import annotations

import argparse
from pathlib import Path

from advisor.base.errors import EXIT_NOTHING_FITS, EXIT_OK, InputError, Problem, named_by
from advisor.base.language import tr


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to look at, and how to print it."""
    parser.add_argument(
        "what",
        nargs="?",
        default="machine",
        choices=("machine", "models", "bench"),
        help="this machine (the default), models, or bench: measure its speed and keep it",
    )
    parser.add_argument("--json", action="store_true", help="the profile as JSON, nothing private in it")
    parser.add_argument("--output", metavar="DIR", type=Path, default=Path("runs"), help="folder for runs")
    parser.add_argument("--hardware", metavar="TEXT", help="show a saved profile or a described machine instead")
    parser.add_argument("--family", metavar="NAME", help="models: those of one family (Qwen3, llama)")
    parser.add_argument("--fits", metavar="HARDWARE", help="models: those that this machine has room to train")


def run(arguments: argparse.Namespace) -> int:
    """Probe and print. A machine without a usable GPU is an answer, not an error."""
    from advisor.commands.measure import Measurements
    from advisor.commands.output import show, write_text

    if arguments.what == "models":
        return _models(arguments)
    if arguments.family or arguments.fits:
        flag = "--family" if arguments.family else "--fits"
        what = tr("{flag} chooses among models, and this looks at a machine", flag=flag)
        raise InputError(
            Problem(what=what, fix=tr("Give {flag} to `sft-advisor probe models`", flag=flag), where=flag)
        )
    if arguments.what == "bench":
        _bench(arguments.hardware)
    hardware = Measurements().hardware({"hardware": arguments.hardware, "output": str(arguments.output)})
    if arguments.json:
        from advisor.probe import hardware_to_json

        write_text(hardware_to_json(hardware).decode())
    else:
        from advisor.report.machine import machine

        show(machine(hardware))
    return EXIT_OK


def _bench(described: str | None) -> None:
    """Measure this machine and keep the rates. Raises InputError for another machine, MachineError without torch."""
    from advisor.base.errors import MachineError
    from advisor.commands.output import remark
    from advisor.probe.bench import keep, measure
    from advisor.probe.machine import probe
    from advisor.report.machine import measured_rates

    if described:
        fix = tr("on that machine run `sft-advisor probe bench`, then keep what `sft-advisor probe --json` prints")
        raise InputError(Problem(what=tr("bench measures this machine, not one that is described"), fix=fix))
    remark(tr("measuring matrix product, copy and link (about 20 seconds)"))
    found = measure()
    hardware = probe()
    name = found.device or hardware.host.cpu_name
    if found.rates is None or name is None:
        raise MachineError(
            Problem(
                what=tr("the speed of this device could not be measured"),
                why=found.error or tr("its processor does not say its name"),
                fix=tr("`sft-advisor doctor` says whether torch works here"),
            )
        )
    remark(f"{name}: {measured_rates(found.rates)}")
    try:
        keep(name, found.rates)
    except OSError as error:
        remark(tr("note: the rates are not kept for later estimates: {error}", error=error))


def _models(arguments: argparse.Namespace) -> int:
    from advisor.commands.measure import Measurements
    from advisor.commands.output import show, write_json
    from advisor.decide.known_models import known_models

    described, flag = arguments.fits or arguments.hardware, "--fits" if arguments.fits else "--hardware"
    with named_by(flag):
        hardware = Measurements().hardware({"hardware": described}) if described else None
    found = known_models(arguments.family, hardware)
    if arguments.json:
        write_json(found)
    else:
        from advisor.report.models import model_list

        show(model_list(found, described))
    return EXIT_OK if found else EXIT_NOTHING_FITS
