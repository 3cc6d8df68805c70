"""What a person reads when something went wrong: what, why, what to do. Never a traceback."""

from __future__ import annotations

import errno
from typing import TypeGuard

from advisor.base.errors import EXIT_BAD_INPUT, EXIT_BUG, EXIT_ENVIRONMENT, AdvisorError, Problem, panic
from advisor.base.language import tr
from rules.errors import RuleError
from trainers.errors import RunError
from trainers.plan import PlanError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What writing ends with where no more can be written."""


def explain_failure(error: BaseException) -> tuple[list[str], int]:
    """Lines for stderr and the exit code."""
    if isinstance(error, AdvisorError):
        return _problem_lines(error.problems), error.exit_code
    told = _told_by_the_others(error)
    if told is not None:
        return _problem_lines(told[0]), told[1]
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _problem_lines([_missing_package(error.name)]), EXIT_ENVIRONMENT
    if isinstance(error, MemoryError | RecursionError):
        return _problem_lines([_too_much(error)]), EXIT_BAD_INPUT
    if isinstance(error, OSError) and error.strerror:
        return _problem_lines([_of_the_system(error)]), EXIT_ENVIRONMENT if error.errno in NO_ROOM else EXIT_BAD_INPUT
    return _bug_lines(error), EXIT_BUG


def output_is_full(error: BaseException) -> TypeGuard[OSError]:
    """Whether it came of printing: such an error names no file, and then not even a line end can be written."""
    if not isinstance(error, OSError) or error.filename or error.errno not in NO_ROOM:
        return False
    try:
        print(flush=True)
    except OSError:
        return True
    return False


def _of_the_system(error: OSError) -> Problem:
    """What cannot be read or written, the standard output among it."""
    if not output_is_full(error):
        place = f" {error.filename}" if error.filename else ""
        return Problem(what=tr("cannot use{place}: {strerror}", place=place, strerror=error.strerror))
    return Problem(
        what=tr("cannot write to the standard output: {why}", why=error.strerror),
        why=tr("what it is redirected to takes no more"),
        fix=tr("redirect it to a file on a disk with room"),
    )


def _problem_lines(problems: tuple[Problem, ...] | list[Problem]) -> list[str]:
    lines = []
    for problem in problems:
        place = f" ({problem.where})" if problem.where and problem.where not in problem.what else ""
        lines.append(tr("error: {what}{place}", what=problem.what, place=place))
        if problem.why:
            lines.append(tr("  why: {why}", why=problem.why))
        if problem.fix:
            lines.append(tr("  try: {fix}", fix=problem.fix))
    return lines


def _told_by_the_others(error: BaseException) -> tuple[list[Problem], int] | None:
    """The problems in an error of rules, trainers or a native reader, and its exit code; None for any other error."""
    if isinstance(error, RuleError):
        parts = [Problem(what=each.what, why=each.why, fix=each.fix, where=each.where) for each in error.problems]
        return parts, EXIT_BAD_INPUT
    if isinstance(error, RunError):
        return [Problem(what=error.what, why=error.why, fix=error.fix)], error.exit_code
    if problem := panic(error):
        return [problem], EXIT_BAD_INPUT
    if isinstance(error, PlanError):
        return [Problem(what=str(error))], EXIT_BAD_INPUT
    return None


def _too_much(error: BaseException) -> Problem:
    """An input that asks for more memory or depth than there is, where the code did not expect it."""
    asked = tr("is nested too deeply") if isinstance(error, RecursionError) else tr("asks for too much memory")
    return Problem(
        what=tr("an input {asked}{place}", asked=asked, place=_place(error)),
        why=tr("a file of the usual size and depth needs far less"),
        fix=tr("leave out the file that you trust least (model folder, dataset, rules, plan) and try again"),
    )


def _missing_package(name: str) -> Problem:
    package = name.partition(".")[0]
    if package in ("advisor", "rules", "trainers"):
        return Problem(
            what=tr("the module {name} is missing", name=name),
            why=tr("the installation is incomplete"),
            fix=tr("install again"),
        )
    return Problem(
        what=tr("the package {package!r} is not installed", package=package),
        why=tr("this command needs it"),
        fix='pip install "sft-advisor[train]"',
    )


def _bug_lines(error: BaseException) -> list[str]:
    return [
        tr(
            "error: this is a bug of sft-advisor: {kind}: {first_line}{place}",
            kind=type(error).__name__,
            first_line=_first_line(error),
            place=_place(error),
        ),
        tr("  why: the program met a case that it was not written for; your input is not at fault"),
        tr("  try: report it with the command line and the two lines above"),
    ]


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (
        tr(
            " in {co_qualname}, line {tb_lineno}",
            co_qualname=trace.tb_frame.f_code.co_qualname,
            tb_lineno=trace.tb_lineno,
        )
        if trace
        else ""
    )


def _first_line(error: BaseException) -> str:
    line = next(iter(str(error).splitlines()), "")
    return line if len(line) <= 200 else line[:197] + "..."
