"""A flag that takes one value and is given two is refused, whichever command it belongs to."""

from __future__ import annotations

import argparse
from contextlib import suppress

import pytest

from advisor.base.errors import InputError
from advisor.commands.arguments import Parser
from tests.commands.test_sentences import EVERY_COMMAND, parser_of


def given(parser: Parser, *arguments: str) -> str:
    """What is wrong with the values of its flags."""
    with suppress(InputError):  # what else is missing is not asked here
        parser.parse_known_args(arguments)
    return "; ".join(problem.what for problem in parser.wrong_values)


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_two_values_of_one_flag_are_refused(command):
    for parser in parser_of(command).parsers():
        for action in parser._actions:
            if action.option_strings and action.nargs != 0:
                flag = action.option_strings[-1]
                said = given(parser, f"{flag}=a", f"{flag}=b")
                repeatable = isinstance(action, argparse._AppendAction)
                assert (f"{action.option_strings[0]} is given twice: 'a', then 'b'" in said) is not repeatable


def test_the_same_value_again_is_no_contradiction():
    assert given(parser_of("estimate"), "--model", "A", "--json", "--json", "--model", "A") == ""
