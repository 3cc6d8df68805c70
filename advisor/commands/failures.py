"""What a person reads when something went wrong: what, why, what to do. Never a traceback."""

from __future__ import annotations

from advisor.errors import EXIT_BAD_INPUT, EXIT_BUG, EXIT_ENVIRONMENT, AdvisorError, Problem

# Errors of the other two folders: they may not import advisor, so they are known here by module and name.
FOREIGN_EXIT_CODES = {
    ("rules", "RuleError"): EXIT_BAD_INPUT,
    ("trainers", "PlanError"): EXIT_BAD_INPUT,
    ("trainers", "RunError"): EXIT_BUG,
    ("trainers", "EmbeddedModelError"): EXIT_ENVIRONMENT,
}


def explain_failure(error: Exception) -> tuple[list[str], int]:
    """Lines for stderr and the exit code."""
    if isinstance(error, AdvisorError):
        return _problem_lines(error.problems), error.exit_code
    code = _foreign_code(error)
    if code is not None:
        return _problem_lines(_foreign_problems(error)), code
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _problem_lines([_missing_package(error.name)]), EXIT_ENVIRONMENT
    if isinstance(error, OSError) and error.strerror:
        place = f" {error.filename}" if error.filename else ""
        return _problem_lines([Problem(what=f"cannot use{place}: {error.strerror}")]), EXIT_BAD_INPUT
    return _bug_lines(error), EXIT_BUG


def _problem_lines(problems: tuple[Problem, ...] | list[Problem]) -> list[str]:
    lines = []
    for problem in problems:
        place = f" ({problem.where})" if problem.where and problem.where not in problem.what else ""
        lines.append(f"error: {problem.what}{place}")
        if problem.why:
            lines.append(f"  why: {problem.why}")
        if problem.fix:
            lines.append(f"  try: {problem.fix}")
    return lines


def _foreign_code(error: Exception) -> int | None:
    for kind in type(error).__mro__:
        folder = kind.__module__.partition(".")[0]
        code = FOREIGN_EXIT_CODES.get((folder, kind.__name__))
        if code is not None:
            stated = getattr(error, "exit_code", None)
            return stated if isinstance(stated, int) else code
    return None


def _foreign_problems(error: Exception) -> list[Problem]:
    parts = getattr(error, "problems", None) or [error]
    return [
        Problem(
            what=str(getattr(part, "what", "") or part),
            why=str(getattr(part, "why", "")),
            fix=str(getattr(part, "fix", "")),
            where=str(getattr(part, "where", "")),
        )
        for part in parts
    ]


def _missing_package(name: str) -> Problem:
    package = name.partition(".")[0]
    if package in ("advisor", "rules", "trainers"):
        return Problem(
            what=f"the module {name} is missing", why="the installation is incomplete", fix="install again"
        )
    return Problem(
        what=f"the package {package!r} is not installed",
        why="this command needs it",
        fix='pip install "sft-advisor[train]"',
    )


def _bug_lines(error: Exception) -> list[str]:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" in {trace.tb_frame.f_code.co_qualname}, line {trace.tb_lineno}" if trace else ""
    return [
        f"error: this is a bug of sft-advisor: {type(error).__name__}: {_first_line(error)}{place}",
        "  why: something happened that nobody foresaw; nothing of yours is wrong",
        "  try: report it with the command line and the two lines above",
    ]


def _first_line(error: Exception) -> str:
    line = next(iter(str(error).splitlines()), "")
    return line if len(line) <= 200 else line[:197] + "..."
