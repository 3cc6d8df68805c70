"""The commands: parse, dispatch, say what went wrong, exit. What each does is in advisor/commands/, one file each.

    sft-advisor                      the wizard
    sft-advisor --non-interactive    the same answer as JSON
    sft-advisor COMMAND ...          see COMMANDS

Only the module of the chosen command is imported, and its arguments are the only ones that are built.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from advisor.errors import EXIT_BUG, EXIT_INTERRUPTED, InputError, Problem, nearest

COMMANDS: dict[str, str] = {
    "probe": "what this machine offers, what is taken and by whom",
    "estimate": "memory, time and disk of any plan",
    "explain": "methods, rules, sources, the whole decision flow, or the last answer",
    "launch": "run a plan",
    "train": "run one method directly: full, lora, qlora, prefix or adapter",
    "multitask": "train several adapters over one base and compare them on every task",
    "resume": "go on with a run that was stopped or killed",
    "preflight": "try the longest batch of a plan for real, in seconds",
    "merge": "merge the adapter of a run into its base model",
    "data": "check a dataset before any GPU time is spent",
    "doctor": "check driver, torch and libraries against each other",
    "rules": "list, check, test and write rules",
    "schema": "print the JSON Schema of a document",
    "export": "translate a plan for another tool, or for a cluster",
    "try": "train the small embedded model here and show what changed",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code (advisor/errors.py); no exception leaves this function."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        return _dispatch(arguments)
    except BrokenPipeError:
        # the reader (head, less) has what it wanted; Python would complain once more when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        if debug:
            raise
        return _say_error(error, arguments)


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] in (["--version"], ["-V"]):
        from advisor import __version__

        print(f"sft-advisor {__version__}")
        return 0
    name = "advise"
    if arguments and not arguments[0].startswith("-"):
        name, *arguments = arguments
        if name not in COMMANDS:
            raise InputError(_unknown_command(name))
    from importlib import import_module

    from advisor.commands.arguments import Parser

    module = "demo" if name == "try" else name  # no module can be called try
    command = import_module(f"advisor.commands.{module}")
    program = "sft-advisor" if name == "advise" else f"sft-advisor {name}"
    parser = Parser(prog=program, description=(command.__doc__ or "").strip())
    command.add_arguments(parser)
    code: int = command.run(parser.parse(arguments))
    sys.stdout.flush()
    return code


def _unknown_command(name: str) -> Problem:
    close = nearest(name, COMMANDS)
    return Problem(
        what=f"{name!r} is not a command",
        why="commands are " + ", ".join(COMMANDS),
        fix=f"did you mean: sft-advisor {close}" if close else "sft-advisor --help",
    )


def _say_error(error: Exception, arguments: list[str]) -> int:
    import shlex

    from advisor.commands.failures import explain_failure

    lines, code = explain_failure(error)
    if code == EXIT_BUG:
        lines.append(f"  run: {shlex.join(['sft-advisor', *arguments, '--debug'])}   shows where it happened")
    print("\n".join(lines), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
