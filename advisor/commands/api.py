"""The advisor for programs: the functions behind the commands, with typed results. Nothing here imports torch.

    from advisor import advise, probe, estimate, check_data, launch

>>> from advisor import advise, estimate
>>> advice = advise(model="Qwen3-8B", hardware="RTX 4090", data_examples=5000)
>>> advice.verdict, advice.method
('recommended', 'lora')
>>> advice.plan.lora_rank >= 8
True
>>> estimate(model="Qwen3-8B", hardware="8GB", method="full").fits
False

Questions are keywords called like their flags (`--data-examples` is `data_examples`), values are Python's or the
flag's text. Wrong input raises `advisor.base.errors.InputError` with every problem at once.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from advisor.ask.answers import Layer
    from advisor.base.errors import Problem
    from advisor.data.verdict import DataVerdict
    from advisor.decide.known_models import KnownModel
    from advisor.decide.recommendation import Recommendation
    from advisor.probe.hardware import Hardware
    from advisor.report.document import Answer
    from advisor.report.estimates import PlanEstimate
    from advisor.trust.look import Vetted
    from rules.engine import RuleBook
    from trainers.plan import LossOn, TrainingPlan

__all__ = ["Advice", "Run", "advise", "check_data", "estimate", "explain", "launch", "models", "probe", "vet"]


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What `advise` found. A notebook shows it as the report."""

    recommendation: Recommendation
    """Everything: candidates, rules judged, facts."""
    book: RuleBook
    """The rules that it was judged by."""

    @property
    def verdict(self) -> str:
        """recommended, nothing_fits, do_not_fine_tune or repair_first."""
        return self.recommendation.verdict

    @property
    def headline(self) -> str:
        """One sentence that a person can quote."""
        return self.recommendation.headline

    @property
    def method(self) -> str | None:
        """The recommended method; None when nothing is recommended."""
        return self.summary.method

    @property
    def plan(self) -> TrainingPlan | None:
        """The best plan, for `launch`; None when nothing fits."""
        return self.recommendation.best.plan if self.recommendation.best else None

    @property
    def summary(self) -> Answer:
        """The document that `--non-interactive` prints; bytes and seconds."""
        from advisor.report.document import answer_document

        return answer_document(self.recommendation)

    def save_plan(self, path: str | Path) -> None:
        """Write the plan as TOML. Raises InputError when there is none, or the file cannot be written."""
        from advisor.commands.answer import save_plan_of

        save_plan_of(self.recommendation, Path(path))

    def _repr_html_(self) -> str:
        """The report, dated today, in a frame of its own, so that its style leaves the notebook alone."""
        import time
        from html import escape

        from advisor.report.page.report import render

        page = escape(render(self.recommendation, self.book, made_on=time.strftime("%Y-%m-%d")), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:48rem;border:0" title="sft-advisor"></iframe>'


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a run that `launch` started."""

    folder: Path
    exit_code: int
    """0 trained; the others are those of the command."""


def advise(*, rules: str | Path | None = None, **answers: Any) -> Advice:
    """The recommendation for the answers; without `hardware`, for this machine. `rules` is a folder of your own.

    Raises InputError when model or another required answer is missing, unknown or unusable.
    """
    from advisor.commands.measure import gather, recommend
    from advisor.commands.rulebook import read_rule_book

    request = gather([_layer(answers)])
    book = read_rule_book(Path(rules) if rules else None)
    return Advice(recommendation=recommend(request, book), book=book)


def probe(hardware: str | Path | None = None) -> Hardware:
    """This machine, or the one described ("2x RTX 4090", a saved profile); bytes. Raises InputError for others.

    >>> from advisor import probe
    >>> [gpu.name for gpu in probe("RTX 4090").gpus]
    ['NVIDIA GeForce RTX 4090']
    """
    from advisor.commands.measure import Measurements

    return Measurements().hardware({"hardware": str(hardware) if hardware else None})


def estimate(
    plan: TrainingPlan | None = None, *, rules: str | Path | None = None, method: str = "lora", **answers: Any
) -> PlanEstimate:
    """Memory (bytes a GPU), time (seconds) and disk (bytes) of a plan, or of the plan that the rules make.

    With `plan`, `method` is not read. Raises InputError as `advise` does.
    """
    from advisor.commands.estimate import estimate_plans
    from advisor.commands.rulebook import read_rule_book

    fields = {} if plan else {"method": method}
    book = read_rule_book(Path(rules) if rules else None)
    return estimate_plans([_layer(answers)], book, fields, plan)[0]


def check_data(
    dataset: str | Path,
    *,
    model: str | None = None,
    max_seq_len: int | None = None,
    eval_dataset: str | None = None,
    map: str = "",
    split: str = "train",
    loss_on: LossOn = "assistant",
    leave_out: Collection[str] = (),
    allow: Collection[str] = (),
) -> DataVerdict:
    """What a run would cut, drop, mask or learn by mistake. `.blocking` is empty when it may start.

    Lengths are in tokens of `model`, estimated without one. Raises InputError for data that cannot be read.
    """
    from advisor.commands.data import verdict_on

    return verdict_on(
        str(dataset),
        model=model,
        max_seq_len=max_seq_len,
        eval_source=eval_dataset,
        mapping=map,
        split=split,
        loss_on=loss_on,
        leave_out=leave_out,
        allow=allow,
    )


def explain(topic: str, *, rules: str | Path | None = None) -> str:
    """The page on a method, setting, rule, source, fact, question, finding or exit code, as Markdown.

    Raises InputError, with what is near, for a word that nothing is called by.

    >>> from advisor import explain
    >>> explain("lora_rank").startswith("# ")
    True
    """
    from advisor.commands.explain import page_about
    from advisor.commands.rulebook import read_rule_book

    return page_about(topic, read_rule_book(Path(rules) if rules else None))


def models(*, family: str | None = None, fits: str | None = None) -> list[KnownModel]:
    """The catalogue's models, of one family or with the methods that a described machine has room for.

    Raises InputError for a family or machine that is not known.
    """
    from advisor.decide.known_models import known_models

    return known_models(family, probe(fits) if fits else None)


def vet(path: str | Path, *, rules: str | Path | None = None) -> Vetted:
    """What a stranger's model, dataset, run, plan or rules hold that should be known before use; nothing is run.

    Raises InputError when there is nothing at `path`.
    """
    from advisor.commands.rulebook import read_rule_book
    from advisor.commands.vet import vetted

    return vetted(str(path), read_rule_book(Path(rules) if rules else None))


def launch(plan: TrainingPlan, *, run_dir: str | Path | None = None, allow: Collection[str] = ()) -> Run:
    """Train: data check, preflight, training in a child process, all as the command does, shown on stderr.

    Raises InputError when the data block, MachineError when the plan was made for another machine. A run that ends
    early has an exit code other than 0.
    """
    from advisor.commands.following import new_run_dir
    from advisor.commands.launch import launch_plan

    folder = Path(run_dir) if run_dir else new_run_dir(plan)
    return Run(folder=folder, exit_code=launch_plan(plan, run_dir=folder, allow=allow))


def _layer(answers: dict[str, Any]) -> Layer:
    """The answers by their dotted keys. Raises InputError for a keyword that is no question."""
    from advisor.ask.answers import Layer
    from advisor.ask.questions import QUESTIONS
    from advisor.base.errors import InputError, nearest

    keys = {question.flag.removeprefix("--").replace("-", "_"): question.key for question in QUESTIONS}
    unknown = [name for name in answers if name not in keys]
    if unknown:
        raise InputError(*(_unknown(name, nearest(name, keys)) for name in unknown))
    texts = {name: value for name, value in answers.items() if value is not None}
    return Layer(
        "flag", {keys[name]: str(value) if isinstance(value, Path) else value for name, value in texts.items()}
    )


def _unknown(name: str, close: str | None) -> Problem:
    from advisor.base.errors import Problem
    from advisor.base.language import tr

    fix = (
        tr("did you mean {close}?", close=close)
        if close
        else tr("sft-advisor --help lists the questions; - is written _")
    )
    return Problem(
        what=tr("{name} is not a question", name=name), why=tr("answers are called like the flags"), fix=fix
    )
