"""Help in the language in use: every line of it, and lines that are as wide as the terminal allows."""

from __future__ import annotations

import re

import pytest

from advisor.base import language
from advisor.commands.cli import main
from advisor.commands.helptext import columns, wrapped
from rules.rule import ENGLISH


@pytest.fixture
def chinese(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    yield
    language.use(ENGLISH)


@pytest.mark.parametrize("command", [[], ["map"], ["data", "check"], ["race"], ["train"]])
def test_help_is_said_in_chinese_in_straight_columns(chinese, capsys, command):
    with pytest.raises(SystemExit):
        main([*command, "--lang", "zh_CN", "--help"])
    said = capsys.readouterr().out
    assert said.startswith("用法：sft-advisor")
    assert "显示本帮助并退出" in said
    assert not re.search(r"\b(?:the|and|of|with|show|options)\b(?! [a-z]+=)", re.sub(r"sft-advisor .*", "", said))
    helped = [line for line in said.splitlines() if line.startswith(" " * 24)]
    assert helped and max(map(columns, helped)) <= 80


def test_chinese_is_broken_by_columns_and_no_line_begins_with_a_closing_sign():
    lines = wrapped("在你的数据上以相同预算，把一个方案与别的方法、秩和 learning_rate 比一比，给出胜者。", 20)
    assert (
        "".join(lines).replace(" ", "")
        == "在你的数据上以相同预算，把一个方案与别的方法、秩和learning_rate比一比，给出胜者。"
    )
    assert max(map(columns, lines)) <= 22
    assert not [line for line in lines if line[0] in "，、。"]
