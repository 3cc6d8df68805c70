"""Code that passes given tests: the answer runs with the assertions of the reference, in a child that only computes.

The child is a Python of its own without site packages, without the environment, in a folder of its own that is
deleted (`alone.py`).
"""

from __future__ import annotations

import ast
import secrets
import subprocess
import tempfile
import warnings

from trainers.python import child_environment, module_command
from trainers.scores.alone import SECONDS
from trainers.scores.structured import unfenced


def assertions(text: str) -> list[str]:
    """The assertions at the top level of Python code; [] for other texts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            body = ast.parse(unfenced(text)).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return []
    return [ast.unparse(statement) for statement in body if isinstance(statement, ast.Assert)]


def python_passes(reference: str, answer: str) -> float:
    """1 where the answer, run on its own, makes every assertion of the reference hold; 0 where there is none."""
    tests = assertions(reference)
    if not tests or not unfenced(answer).strip():
        return 0.0
    passed = secrets.token_hex(16)  # not to be guessed by a program that ends before the assertions
    program = "\n".join([passed, unfenced(answer), *tests])
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                module_command("trainers.scores.alone"),
                cwd=folder,
                env={**child_environment({}), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
                input=program.encode("utf-8", "surrogatepass"),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=2 * SECONDS,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return 0.0
    return float(done.returncode == 0 and done.stdout.rstrip().endswith(passed.encode()))
