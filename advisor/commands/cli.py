"""The commands: parse, dispatch, say what went wrong, exit. What each does is in advisor/commands/, one file each.

    sft-advisor                      the wizard
    sft-advisor --non-interactive    the same answer as JSON
    sft-advisor COMMAND ...          see advisor/commands/__init__.py

Only the module of the chosen command is imported, and its arguments are the only ones that are built.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.base import language
from advisor.base.errors import EXIT_BUG, EXIT_INTERRUPTED, AdvisorError, InputError, Problem, nearest
from advisor.base.language import later, tr
from advisor.commands import DASHES, Command, find, module_of
from advisor.commands.output import follow_clicolor
from trainers.foreign.text import shell_line
from trainers.network import CHOICES, stay_quiet

if TYPE_CHECKING:
    from argparse import Namespace

EVERYWHERE = later("""with every command:
  --network none|hub|all   what it, and a run that it starts, may reach (default: what model, data and trackers name)
  --lang LANGUAGE          {languages} (default: $SFT_ADVISOR_LANG, else the locale)
  --debug                  the traceback of a failure""")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (advisor/base/errors.py); no exception leaves this function."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    given = list(arguments)
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        stay_quiet(os.environ, _network(arguments))
        follow_clicolor(os.environ)
        language.use(language.choose(_everywhere(arguments, "--lang"), os.environ))
        try:
            return _dispatch(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _leave_output()  # the reader (head, less) has closed the pipe
        return 0
    except KeyboardInterrupt:
        print(tr("interrupted"), file=sys.stderr)
        return EXIT_INTERRUPTED
    except SystemExit:
        raise
    except BaseException as error:
        if debug:
            raise
        return _say_error(error, given)


def _leave_output() -> None:
    """Nothing more can be written there; Python would report it again when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_what_is_closed() -> None:
    """Stands in for streams that the caller has closed (`>&-`): nobody reads them, and nothing is wrong."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  open as long as the program


def _network(arguments: list[str]) -> str | None:
    """The value of `--network`, taken out of the arguments."""
    value = _everywhere(arguments, "--network")
    if value is not None and value not in CHOICES:
        raise InputError(
            Problem(
                what=tr("--network cannot be {value!r}", value=value),
                why=tr("allowed are {allowed}", allowed=", ".join(CHOICES)),
                fix=f"--network {nearest(value, CHOICES) or CHOICES[0]}",
            )
        )
    return value


def _everywhere(arguments: list[str], flag: str) -> str | None:
    """Takes `FLAG VALUE`, which every command understands, out of the arguments and returns the value."""
    place = next((place for place, text in enumerate(arguments) if text.partition("=")[0] == flag), None)
    if place is None:
        return None
    _, stated, value = arguments.pop(place).partition("=")
    if stated:
        return value
    return arguments.pop(place) if place < len(arguments) else ""


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] in (["--version"], ["-V"], ["-v"], ["version"]):
        from advisor.base.version import __version__
        from advisor.probe.software import parts

        print("\n".join([f"sft-advisor {__version__}", *(f"{name} {version}" for name, version in parts().items())]))
        return 0
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:3], "--help"]
    command = Command("", "advise", arguments)
    if arguments and not arguments[0].startswith(("-", *DASHES)):
        found = find(arguments)
        if found is None:
            from advisor.commands.meant import unknown_command

            raise InputError(unknown_command(arguments))
        command = found
        _say_new_name(command)
    from importlib import import_module

    from advisor.commands.arguments import Parser

    module = import_module(module_of(command.file))
    program = f"sft-advisor {command.words}".rstrip()
    parser = Parser(
        prog=program,
        description=(module.__doc__ or "").strip(),
        epilog=tr(EVERYWHERE, languages=", ".join(language.LANGUAGES)),
    )
    module.add_arguments(parser)
    try:
        code = _run(module.run, parser.parse(command.arguments))
    except AdvisorError as error:
        from advisor.commands.bare import with_its_flag
        from advisor.commands.meant import with_what_was_meant

        problems = with_what_was_meant(command, parser.in_its_words(error.problems))
        error.problems = with_its_flag(command, parser.flags(), problems)
        raise
    return code


def _run(work: Callable[[Namespace], int], arguments: Namespace) -> int:
    """What the command returns. Raises its InputError with what else is wrong with what was named."""
    try:
        return work(arguments)
    except InputError as error:
        from advisor.commands.named import named_problems

        told = {problem.what for problem in error.problems}
        error.problems += tuple(problem for problem in named_problems(arguments) if problem.what not in told)
        raise


def _say_new_name(command: Command) -> None:
    """A note on stderr to whoever calls a command as 0.1 did."""
    if command.old_name:
        from advisor.commands.output import remark

        said = tr(
            "note: `{old}` is now called `{new}`; the old name goes with the release after this one",
            old=f"sft-advisor {command.old_name}",
            new=f"sft-advisor {command.words}",
        )
        remark(said)


def _say_error(error: BaseException, arguments: list[str]) -> int:
    from advisor.commands.failures import explain_failure, output_is_full
    from advisor.commands.output import remark

    lines, code = explain_failure(error)
    if output_is_full(error):
        _leave_output()
    if code == EXIT_BUG:
        lines.append(
            tr(
                "  run: {command}   shows where it happened",
                command=shell_line(["sft-advisor", *arguments, "--debug"]),
            )
        )
    remark("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
