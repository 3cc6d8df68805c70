"""Broken rule files: each is refused with what, where and what to do, all at once. And the cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rules.engine import RuleError, load_rule_book
from rules.load import BOOK
from rules.rule import MAX_FILE_BYTES

BOMBS = Path(__file__).parents[1] / "fixtures" / "security" / "cel_bombs.txt"
GOOD = """id = "TST-01"
title = "Many tasks in full"
when = 'plan.method == "full" && task.count > 1'
effect = "veto"
message = "{task.count} tasks in full."
fix = "Train adapters."
strength = "consensus"
sources = ["arithmetic"]

[[cases]]
name = "three tasks"
given = { "plan.method" = "full", "task.count" = 3 }
expect = "fires"

[[cases]]
name = "one task"
given = { "plan.method" = "full", "task.count" = 1 }
expect = "silent"

[[cases]]
name = "not known"
given = { "plan.method" = "full" }
expect = "unknown"
"""
NAME = "TST-01-many-tasks-in-full.toml"


def problems(folder: Path) -> str:
    with pytest.raises(RuleError) as caught:
        load_rule_book(folder)
    for problem in caught.value.problems:
        assert problem.what
        assert problem.where or problem.fix
    return str(caught.value)


def write(folder: Path, text: str, name: str = NAME) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_good_file_loads(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert load_rule_book(tmp_path).rule("TST-01").group == "policy"


BROKEN = {
    "a fact that does not exist": (
        "task.count > 1",
        "task.cuont > 1",
        "TST-01-many-tasks-in-full.toml:3",
        "task.count",
    ),
    "a comparison of text with a number": ("task.count > 1", 'task.count > "one"', ":3", "overload"),
    "a text that the fact never has": ('plan.method == "full"', 'plan.method == "fool"', ":3", "Did you mean 'full'"),
    "a condition that is no condition": ("task.count > 1'", "task.count > 1 ? 3 : 4'", ":3", "BOOL"),
    "a CEL syntax error": ("task.count > 1'", "task.count > '", ":3", "Syntax error"),
    "has() on a fact": ("task.count > 1'", "has(task.count)'", ":3", "known.a.b"),
    "no source": ('sources = ["arithmetic"]', "sources = []", ":8", "no source is named"),
    "a source that is not in the bibliography": ('"arithmetic"', '"arithmetics"', ":8", "Did you mean 'arithmetic'"),
    "an opinion that vetoes": ('"consensus"', '"opinion"', ":4", "an opinion may not veto"),
    "an effect that does not exist": ('effect = "veto"', 'effect = "vote"', ":4", "Did you mean 'veto'"),
    "a strength that does not exist": ('"consensus"', '"certain"', ":7", "proven"),
    "a key that does not exist": ("fix =", "fixx =", ":6", "Did you mean 'fix'"),
    "a key that is missing": ('message = "{task.count} tasks in full."\n', "", NAME, "'message' is missing"),
    "a placeholder that is no fact": ("{task.count} tasks", "{task.cuont} tasks", ":5", "Did you mean 'task.count'"),
    "a brace that is no placeholder": ("{task.count} tasks", "{task.count tasks", ":5", "brace"),
    "bad TOML": ("effect = ", "effect ", ":4", "not valid TOML"),
    "a case with a fact that does not exist": ('"task.count" = 3', '"task.cuont" = 3', ":10", "Did you mean"),
    "a case with a value of another type": ('"task.count" = 3', '"task.count" = "3"', ":10", "int"),
    "a case that expects nonsense": ('expect = "silent"', 'expect = "nothing"', NAME, "nothing"),
    "an id of the wrong form": ('id = "TST-01"', 'id = "test"', ":1", "ACME-01"),
    "a file name that does not follow": ("Many tasks", "Several tasks", ":2", "TST-01-several-tasks-in-full.toml"),
    "a weight on a veto": ("strength =", "weight = 2\nstrength =", ":7", "no weight"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_file(kind: str, tmp_path: Path) -> None:
    old, new, place, words = BROKEN[kind]
    assert old in GOOD
    write(tmp_path, GOOD.replace(old, new, 1))
    text = problems(tmp_path)
    assert place in text
    assert words in text


def test_no_cases(tmp_path: Path) -> None:
    write(tmp_path, GOOD.partition("\n[[cases]]")[0])
    text = problems(tmp_path)
    for outcome in ("fires", "silent", "unknown"):
        assert f"no case that expects '{outcome}'" in text


def test_duplicate_id_with_the_bundled_book(tmp_path: Path) -> None:
    write(tmp_path, GOOD.replace("TST-01", "HYP-82"), "HYP-82-many-tasks-in-full.toml")
    text = problems(tmp_path)
    assert "HYP-82 is used twice" in text
    assert 'replaces = "HYP-82"' in text


SETTER = GOOD.replace('effect = "veto"', 'effect = "set"').replace(
    "\n[[cases]]", "{more}\n[set]\nseed = '7'\n\n[[cases]]", 1
)


def setter(folder: Path, rule_id: str, overrides: str) -> None:
    text = SETTER.replace("TST-01", rule_id).replace("{more}", f'overrides = ["{overrides}"]')
    write(folder, text, f"{rule_id}-many-tasks-in-full.toml")


def test_cyclic_override(tmp_path: Path) -> None:
    setter(tmp_path, "TST-01", "TST-02")
    setter(tmp_path, "TST-02", "TST-01")
    assert "overrides itself in a circle" in problems(tmp_path)


def test_override_of_a_rule_that_does_not_exist(tmp_path: Path) -> None:
    setter(tmp_path, "TST-01", "HYP-282")
    assert "Did you mean 'HYP-82'" in problems(tmp_path)


def test_override_without_a_field_in_common(tmp_path: Path) -> None:
    setter(tmp_path, "TST-01", "HYP-13")
    assert "no field in common" in problems(tmp_path)


def test_a_field_that_the_plan_does_not_have(tmp_path: Path) -> None:
    write(tmp_path, SETTER.replace("{more}", "").replace("seed = '7'", "lora_rnak = '7'"))
    assert "Did you mean 'lora_rank'" in problems(tmp_path)


def test_a_setting_of_the_wrong_type(tmp_path: Path) -> None:
    write(tmp_path, SETTER.replace("{more}", "").replace("seed = '7'", "seed = '\"seven\"'"))
    assert "INT is needed" in problems(tmp_path)


def test_fields_that_wait_for_each_other(tmp_path: Path) -> None:
    write(tmp_path, SETTER.replace("{more}", "").replace("seed = '7'", "rank_for_task = 'plan.lora_rank'"))
    text = problems(tmp_path)
    assert "wait for each other" in text
    assert "lora_rank" in text


def test_huge_file(tmp_path: Path) -> None:
    write(tmp_path, GOOD + "# " + "x" * MAX_FILE_BYTES)
    assert "larger than 64 KiB" in problems(tmp_path)


def test_not_text(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(GOOD.encode("utf-16"))
    assert "UTF-8" in problems(tmp_path)


def test_a_link_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / NAME).symlink_to(tmp_path / "gone.toml")
    assert "cannot read the rule" in problems(tmp_path)


def test_a_pipe_is_passed_by(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    os.mkfifo(tmp_path / "TST-02-pipe.toml")
    assert load_rule_book(tmp_path).rule("TST-01").id == "TST-01"


def test_all_problems_of_all_files_at_once(tmp_path: Path) -> None:
    write(tmp_path, GOOD.replace("task.count > 1", "task.cuont > 1").replace('"consensus"', '"opinion"'))
    write(tmp_path, "id = ", "TST-02-broken.toml")
    text = problems(tmp_path)
    assert "task.cuont" in text
    assert "opinion" in text
    assert "TST-02-broken.toml" in text


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    assert "is not a folder of rules" in problems(tmp_path / "nowhere")


def test_loops_in_loops_in_loops_are_refused(tmp_path: Path) -> None:
    loop = "".join(f"[1,2].exists(x{depth}, " for depth in range(3)) + "task.count > 1" + ")" * 3
    write(tmp_path, GOOD.replace("task.count > 1", loop))
    assert "loops stand more than 2 deep" in problems(tmp_path)


@pytest.mark.parametrize("bomb", [line for line in BOMBS.read_text().splitlines() if not line.startswith("#")])
def test_what_could_grow_without_end_is_refused(tmp_path: Path, bomb: str) -> None:
    write(tmp_path, GOOD.replace("task.count > 1", bomb.replace("'", '"')))
    assert "map() is not for rules" in problems(tmp_path)


def test_a_loop_in_a_loop_adds_nothing_up(tmp_path: Path) -> None:
    write(tmp_path, GOOD.replace("task.count > 1", '["a"].exists(x, [x + x].exists(y, y + y == "aaaa"))'))
    assert "adds values up" in problems(tmp_path)


def test_an_endless_expression_is_refused_or_undecided(tmp_path: Path) -> None:
    numbers = "[" + ",".join(map(str, range(450))) + "]"
    loop = f"{numbers}.all(x, {numbers}.all(y, task.count > 1))"
    write(tmp_path, GOOD.replace("task.count > 1", loop))
    book = load_rule_book(tmp_path)
    trace = next(t for t in book.judge({"plan.method": "full", "task.count": 3}) if t.rule_id == "TST-01")
    assert trace.outcome == "unknown"
    assert "budget" in trace.message


# the cache


def test_the_cache_is_used_and_harmless(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = load_rule_book(cache=cache)
    (cached,) = cache.glob("rules-*.msgpack")
    assert load_rule_book(cache=cache).digest == first.digest
    whole = cached.read_bytes()
    cached.write_bytes(whole.replace(b"full fine-tuning", b"FULL fine-tuning"))
    assert cached.read_bytes() != whole
    assert load_rule_book(cache=cache).rules == first.rules
    cached.write_bytes(b"not a rule book")
    assert load_rule_book(cache=cache).rules == first.rules


def test_a_changed_file_is_seen(tmp_path: Path) -> None:
    cache, folder = tmp_path / "cache", tmp_path / "policy"
    folder.mkdir()
    path = write(folder, GOOD)
    times = path.stat()
    assert load_rule_book(folder, cache).rule("TST-01").fix == "Train adapters."
    write(folder, GOOD.replace("Train adapters.", "Train ADAPTERS."))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert load_rule_book(folder, cache).rule("TST-01").fix == "Train ADAPTERS."


def test_a_cache_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert len(load_rule_book(cache=blocked).rules) > 200


def test_the_book_is_inside_the_package() -> None:
    assert BOOK.parent.name == "rules"


def test_of_many_that_start_at_once_one_compiles_the_book(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, rules.load as load\n"
        "build = load._build\n"
        "def counted(*given):\n"
        "    with open(sys.argv[2], 'a') as file: file.write('x')\n"
        "    return build(*given)\n"
        "load._build = counted\n"
        "print(len(load.load(cache=pathlib.Path(sys.argv[1])).rules))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "cache"), str(tmp_path / "builds")]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    assert len({process.communicate()[0] for process in started}) == 1
    assert (tmp_path / "builds").read_text() == "x"


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert load_rule_book(cache=tmp_path / "file" / "cache").rules
