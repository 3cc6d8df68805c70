"""What `sft-advisor explain` shows: method pages, rules with their evidence, sources, facts, the decision flow.

Everything comes back as Markdown (or Mermaid) text; nothing is printed. All of it is generated from the book.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from rules.engine import RuleBook
from rules.facts import FACTS, METHODS
from rules.language import current, later, tr
from rules.messages import PLACEHOLDER
from rules.rule import Rule, Source

PAGES = Path(__file__).parent / "methods"
METHOD_PAGES = (*METHODS, "peft")
TOPICS = (*METHOD_PAGES, "flow", "facts", "rules", "sources")
GROUP_TITLES = {
    "gate": later("Is fine-tuning the right tool?"),
    "hardware": later("What fits and runs on this hardware?"),
    "precision": later("Which number formats?"),
    "quality": later("What does the task need, and what do the data fill?"),
    "deployment": later("How will it be served?"),
    "storage": later("What may be kept?"),
    "data": later("What do the data ask for?"),
    "hyperparameters": later("Every setting of the plan"),
    "security": later("What should be known of inputs from elsewhere?"),
    "policy": later("Rules of this organisation"),
}
STRENGTH_WORDS = {
    "proven": later("proven: it follows from how the thing is built"),
    "measured": later("measured: someone ran it and published the figures"),
    "derived": later("derived: arithmetic on measured or published figures"),
    "consensus": later("consensus: what the field does, without a decisive measurement"),
    "opinion": later("opinion: it may advise, never forbid"),
}


def explain(topic: str, book: RuleBook) -> str | None:
    """The page of a method, rule id, source, `flow`, `facts`, `rules` or `sources`, as Markdown; None: no such."""
    name = topic.strip()
    word = name.lower()
    if word in METHOD_PAGES:
        return method_page(word)
    of_book: dict[str, Callable[[RuleBook], str]] = {
        "flow": flow_tree,
        "rules": rule_list,
        "sources": source_list,
        "facts": lambda _: fact_list(),
    }
    if word in of_book:
        return of_book[word](book)
    if name in book.sources:
        return source_page(book, name)
    if name.upper() in {rule.id for rule in book.rules}:
        return rule_page(book, name)
    rows = [rule for rule in book.rules if name.upper() in {row.upper() for row in rule.evidence}]
    of_row = [page for page in METHOD_PAGES if name.upper() in {row.upper() for row in _rows_of_page(page)}]
    return "\n\n".join([rule_page(book, rule.id) for rule in rows] or map(method_page, of_row)) or None


def method_page(method: str) -> str:
    """The page of one method (or "peft", the comparison), without the marks that tie lines to the guide's rows."""
    spoken = PAGES / current() / f"{method}.md"
    text = (spoken if spoken.is_file() else PAGES / f"{method}.md").read_text(encoding="utf-8")
    return re.sub(r" ?<!--.*?-->", "", text).strip() + "\n"


def guide_rows_of_pages() -> frozenset[str]:
    """Rows of the decision guide that the method pages carry, from their marks."""
    return frozenset(row for page in METHOD_PAGES for row in _rows_of_page(page))


def _rows_of_page(method: str) -> set[str]:
    text = (PAGES / f"{method}.md").read_text(encoding="utf-8")
    return {row for mark in re.findall(r"<!--(.*?)-->", text) for row in mark.split()}


def rule_page(book: RuleBook, rule_id: str) -> str:
    """One rule with its condition, reason, evidence, sources and cases."""
    rule = book.rule(rule_id)
    lines = [f"# {rule.id}: {rule.title}", "", f"*{_effect_words(rule)}; {tr(STRENGTH_WORDS[rule.strength])}.*", ""]
    lines += [
        tr("When"),
        "",
        "```",
        rule.when.strip(),
        "```",
        "",
        tr("Then: {message}", message=_readable(rule.message)),
    ]
    if rule.set:
        lines += ["", *(f"- `{field}` = `{' '.join(text.split())}`" for field, text in rule.set.items())]
    if rule.because:
        lines += ["", tr("Because: {because}", because=rule.because)]
    if rule.fix:
        lines += ["", tr("What to do: {fix}", fix=_readable(rule.fix))]
    if rule.overrides:
        lines += ["", tr("It wins over {overrides}.", overrides=", ".join(rule.overrides))]
    lines += ["", tr("Sources, {years}", years=evidence_date(book, rule)), ""]
    lines += [f"- {_source_words(book, key)}" for key in rule.sources]
    if rule.against:
        lines += ["", tr("Sources that say otherwise"), ""]
        lines += [f"- {_source_words(book, key)}" for key in rule.against]
    lines += ["", tr("Cases: {cases}.", cases=", ".join(f"{case.name} ({case.expect})" for case in rule.cases))]
    lines += ["", tr("File: `{path}`", path=rule.path)]
    return "\n".join(lines) + "\n"


def evidence_date(book: RuleBook, rule: Rule) -> str:
    """Years of the rule's sources, "2023 to 2026", and whether none of them was read in the original."""
    sources = [book.sources[key] for key in rule.sources]
    years = sorted({source.year for source in sources})
    span = f"{years[0]}" if len(years) == 1 else tr("{first} to {last}", first=years[0], last=years[-1])
    return span if any(source.checked == "read" for source in sources) else tr("{years}, digests only", years=span)


def source_page(book: RuleBook, key: str) -> str:
    """One source, and the rules that rest on it."""
    users = [rule for rule in book.rules if key in rule.sources]
    opposed = [rule for rule in book.rules if key in rule.against]
    lines = [f"# {key}", "", _source_words(book, key), "", tr("Rules that cite it"), ""]
    lines += [f"- {rule.id}: {rule.title}" for rule in users] or [f"- {tr('none')}"]
    if opposed:
        lines += ["", tr("Rules that it speaks against"), "", *(f"- {rule.id}: {rule.title}" for rule in opposed)]
    return "\n".join(lines) + "\n"


def rule_list(book: RuleBook) -> str:
    """Every rule, one line each, by group."""
    lines = [f"# {tr('Rules')}", ""]
    for group, rules in _by_group(book):
        lines += [f"## {_group_title(group)}", ""]
        lines += [f"- **{rule.id}** {rule.title} ({_effect_words(rule)})" for rule in rules]
        lines.append("")
    return "\n".join(lines)


def source_list(book: RuleBook) -> str:
    """The bibliography."""
    lines = [
        f"# {tr('Sources')}",
        "",
        *(f"- **{key}** {_describe(source)}" for key, source in sorted(book.sources.items())),
    ]
    return "\n".join(lines) + "\n"


def fact_list() -> str:
    """The vocabulary: every fact that a rule may name."""
    lines = [f"# {tr('Facts')}", "", tr("`known.a.b` is true when the fact `a.b` is known."), ""]
    for fact in FACTS:
        unit = f", {fact.unit}" if fact.unit else ""
        choices = f": {', '.join(fact.choices)}" if fact.choices else ""
        lines.append(f"- `{fact.path}` ({fact.type}{unit}) {tr(fact.meaning)}{choices}")
    return "\n".join(lines) + "\n"


def flow_tree(book: RuleBook) -> str:
    """The whole decision flow as a text tree: steps, branches, rules."""
    lines = [tr("How a recommendation is made"), ""]
    steps = _flow(book)
    for number, (title, branches) in enumerate(steps, start=1):
        last = number == len(steps)
        lines.append(f"{'└' if last else '├'}─ {number}. {title}")
        for position, (branch, leaves) in enumerate(branches, start=1):
            stem = (" " if last else "│") + "  "
            end = position == len(branches)
            lines.append(f"{stem}{'└' if end else '├'}─ {branch}")
            inner = stem + (" " if end else "│") + "  "
            lines += [f"{inner}{'└' if leaf is leaves[-1] else '├'}─ {leaf}" for leaf in leaves]
    return "\n".join(lines) + "\n"


def flow_mermaid(book: RuleBook) -> str:
    """The same flow as a Mermaid flowchart: a subgraph for each step, a node for each branch."""
    lines = ["flowchart TD", f'  start(["{tr("answers, machine, model, data")}"]) --> S1']
    steps = _flow(book)
    for number, (title, branches) in enumerate(steps, start=1):
        lines.append(f'  subgraph S{number}["{number}. {_escaped(title)}"]')
        for position, (branch, leaves) in enumerate(branches, start=1):
            shown = "".join(f"<br/>{_escaped(leaf)}" for leaf in leaves)
            lines.append(f'    S{number}B{position}["<b>{_escaped(branch)}</b>{shown}"]')
        lines.append("  end")
        if number > 1:
            lines.append(f"  S{number - 1} --> S{number}")
    gate, instead = tr("a gate fires"), tr("do not fine-tune: what to do instead")
    none, remedies = tr("no method is left"), tr("nothing fits: ordered remedies")
    end = tr("recommendation, alternatives, what would change it")
    lines.append(f'  S1 -- "{gate}" --> no(["{instead}"])')
    lines.append(f'  S3 -- "{none}" --> none(["{remedies}"])')
    lines.append(f'  S{len(steps)} --> done(["{end}"])')
    return "\n".join(lines) + "\n"


Branch = tuple[str, list[str]]


def _flow(book: RuleBook) -> list[tuple[str, list[Branch]]]:
    """The steps in the order of judgement, each with its branches and the rules that speak in them."""
    return [
        (tr("Gates: is fine-tuning the right tool?"), _branches_by_group(book, "gate")),
        (tr("Settings: each method's plan is filled in, in this order"), _branches_by_field(book)),
        (tr("Vetoes: what cannot run, fit or be served"), _branches_by_group(book, "veto")),
        (
            tr("Wishes: a legal one is honoured, with what argues against it"),
            [(tr("the method asked for goes first"), [])],
        ),
        (tr("Points: a tie goes to LoRA, then QLoRA, then full"), _branches_by_method(book)),
        (tr("Warnings on the plan that is left"), _branches_by_group(book, "warn")),
    ]


def _branches_by_group(book: RuleBook, effect: str) -> list[Branch]:
    groups = [(group, [rule for rule in rules if rule.effect == effect]) for group, rules in _by_group(book)]
    return [(_group_title(group), [f"{rule.id} {rule.title}" for rule in rules]) for group, rules in groups if rules]


def _branches_by_field(book: RuleBook) -> list[Branch]:
    setters = [rule for rule in book.rules if rule.effect == "set"]
    fields = ((field, [rule for rule in setters if field in rule.set]) for field in book.settable)
    return [(field, [f"{rule.id} {rule.title}" for rule in rules]) for field, rules in fields]


def _branches_by_method(book: RuleBook) -> list[Branch]:
    branches = []
    speaking = [rule for rule in book.rules if rule.effect in ("prefer", "avoid")]
    for method in METHODS:
        for effect, word in (("prefer", tr("for {method}")), ("avoid", tr("against {method}"))):
            rules = [rule for rule in speaking if rule.effect == effect and method in _methods_of(rule)]
            if rules:
                branches.append(
                    (word.format(method=method), [f"{rule.id} {rule.title}{_points(rule)}" for rule in rules])
                )
    return branches


def _methods_of(rule: Rule) -> set[str]:
    """Methods that a condition names after `plan.method`; all of them when it names none."""
    named = re.findall(r"plan\.method\s*(?:==|in)\s*(\[[^\]]*\]|\"[a-z]+\")", rule.when)
    return {method for text in named for method in METHODS if f'"{method}"' in text} or set(METHODS)


def _readable(template: str) -> str:
    """A message with its placeholders as ‹fact›, without the units."""
    return PLACEHOLDER.sub(lambda match: f"‹{match[1]}›", template)


def _points(rule: Rule) -> str:
    return f" ({rule.signed_weight:+d})" if rule.weight else ""


def _escaped(text: str) -> str:
    return text.replace('"', "#quot;").replace("<", "&lt;").replace(">", "&gt;")


def _effect_words(rule: Rule) -> str:
    words = {
        "gate": tr("gate: fine-tuning is the wrong tool"),
        "veto": tr("veto"),
        "prefer": tr("speaks for, {weight} of 3", weight=rule.weight)
        if rule.weight
        else tr("a reason for, without points"),
        "avoid": tr("speaks against, {weight} of 3", weight=rule.weight)
        if rule.weight
        else tr("a reason against, without points"),
        "warn": tr("warning"),
        "set": tr("sets {fields}", fields=", ".join(rule.set))
        + (tr(" when no other rule does") if rule.default else ""),
    }
    return words[rule.effect]


def _by_group(book: RuleBook) -> Iterable[tuple[str, list[Rule]]]:
    groups = [*GROUP_TITLES, *sorted({rule.group for rule in book.rules} - set(GROUP_TITLES))]
    for group in groups:
        rules = [rule for rule in book.rules if rule.group == group]
        if rules:
            yield group, rules


def _group_title(group: str) -> str:
    return tr(GROUP_TITLES[group]) if group in GROUP_TITLES else group


def _source_words(book: RuleBook, key: str) -> str:
    return f"**{key}** {_describe(book.sources[key])}"


def _describe(source: Source) -> str:
    how = {"read": tr("read in the original"), "digest": tr("known from a digest"), "memory": tr("from memory")}[
        source.checked
    ]
    parts = [f"{source.title} ({source.year}; {source.kind}; {how})", source.url, source.note]
    return ". ".join(part.rstrip(".") for part in parts if part) + "."
