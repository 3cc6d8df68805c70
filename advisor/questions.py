"""The question table: everything that a person may be asked, once.

Flags, answers file, wizard, `--help` and the JSON Schema are all read from QUESTIONS. A key is the dotted path of the
fact it fills (`task.count` is `--task-count`, `[task] count` and CEL `task.count`); the four keys without a dot say
what to work on. A question with no default that is not answered stays unknown: never zero, never false.
"""

from __future__ import annotations

from advisor.question import Context, Page, Question, Suggestion, Values
from rules.facts import ARTIFACTS, BY_PATH, DATA_KINDS, ENGINES, METHODS, PRIORITIES, SHIFTS, WEIGHT_FORMATS

PAGES: dict[Page, str] = {
    "what": "What to train, on what, where",
    "data": "The examples",
    "task": "The task",
    "deployment": "How it will be served",
    "storage": "What is kept",
    "wishes": "What you insist on",
}


def _no_dataset(values: Values) -> bool:
    return not values.get("dataset")


def _several_tasks(values: Values) -> bool:
    return (values.get("task.count") or 1) > 1


def _must_retain(values: Values) -> bool:
    return bool(values.get("task.retention_critical"))


def _kind_by_looking(values: Values, context: Context) -> Suggestion | None:
    guess = context.data.kind_guess if context.data is not None else None
    return Suggestion(guess, "dataset") if guess in DATA_KINDS else None


def _eval_in_dataset(values: Values, context: Context) -> Suggestion | None:
    return Suggestion(True, "dataset") if context.data is not None and context.data.has_eval else None


def _adapters_when_switching(values: Values, context: Context) -> Suggestion | None:
    return Suggestion("adapters") if values.get("task.switch_per_request") else None


def _one_variant_per_task(values: Values, context: Context) -> Suggestion | None:
    return Suggestion(values["task.count"]) if values.get("task.count") else None


def _meanings(allowed: tuple[str, ...], **meanings: str) -> dict[str, str]:
    """Choices in the order of the vocabulary; a choice without a meaning, or the reverse, stops the import."""
    if set(allowed) != {name.lstrip("_") for name in meanings}:
        raise ValueError(f"choices {allowed} and meanings {tuple(meanings)} differ")
    return {name: meanings.get(name) or meanings[f"_{name}"] for name in allowed}


QUESTIONS: tuple[Question, ...] = (
    Question(
        key="model",
        page="what",
        kind="text",
        required=True,
        prompt="Base model",
        example="Qwen3-8B",
        help="A folder with config.json, a .gguf file, a Hugging Face id, or a name of the bundled catalogue.",
        why="Its exact shape decides the memory; only its config is read, never the weights.",
    ),
    Question(
        key="dataset",
        page="what",
        kind="text",
        prompt="Dataset",
        example="data/train.jsonl",
        help="A JSONL, JSON, CSV or parquet file, a folder saved by `datasets`, or a Hugging Face id.",
        why="Its lengths and size decide sequence length, rank and duration. Without one you are asked for sizes.",
    ),
    Question(
        key="hardware",
        page="what",
        kind="text",
        prompt="Hardware",
        example="2x RTX 4090",
        help='Nothing: this machine is probed. Else a saved profile, or a short form such as "8x H100-80GB".',
        why="Every plan must fit the free memory of the smallest GPU it uses.",
    ),
    Question(
        key="output",
        page="what",
        kind="path",
        prompt="Folder for runs",
        default="runs",
        help="Where checkpoints and results are written; it is created when a run starts.",
        why="The free space there limits how many checkpoints can be kept.",
    ),
    Question(
        key="data.kind",
        page="data",
        kind="choice",
        prompt="What are the examples?",
        suggest=_kind_by_looking,
        choices=_meanings(
            DATA_KINDS,
            chat="conversations with an assistant",
            instruct="an instruction and its answer",
            classification="a text and one of a few labels",
            code="programs, patches, completions",
            math="problems with short solutions",
            long_cot="long chains of reasoning",
            facts="knowledge to be remembered",
            raw_text="plain documents, no answers marked",
        ),
        help="The kind that most examples belong to.",
        why="Labels need little capacity, reasoning traces and raw text much more: rank and method follow.",
    ),
    Question(
        key="data.examples",
        page="data",
        kind="int",
        low=1,
        prompt="How many training examples?",
        example="5000",
        applies=_no_dataset,
        help="Rows that will be trained on, without the evaluation part.",
        why="With few examples a small rank and few epochs generalise better.",
    ),
    Question(
        key="data.completion_tokens",
        page="data",
        kind="int",
        low=1,
        prompt="Tokens of all answers together",
        example="2000000",
        applies=_no_dataset,
        help="Only the tokens that are trained on; about 0.75 English words make one token.",
        why="Compared with what an adapter can hold, this decides the rank, and LoRA against full.",
    ),
    Question(
        key="data.total_tokens",
        page="data",
        kind="int",
        low=1,
        prompt="Tokens of all examples, prompts included",
        example="5000000",
        applies=_no_dataset,
        help="Prompts and answers together, once through the data.",
        why="It decides how long an epoch takes.",
    ),
    Question(
        key="data.len_p95",
        page="data",
        kind="int",
        low=1,
        high=10_000_000,
        prompt="Tokens of a long example (95th percentile)",
        example="1500",
        applies=_no_dataset,
        help="Nineteen of twenty examples are shorter than this.",
        why="The sequence length is chosen from it, and memory grows with the sequence length.",
    ),
    Question(
        key="data.new_tokens",
        page="data",
        kind="int",
        low=0,
        high=1_000_000,
        default=0,
        prompt="Tokens to be added to the vocabulary",
        help="Control tokens, tool markers and the like that the tokenizer does not have yet.",
        why="New rows of the embedding must be trained, and some servers refuse adapters that carry them.",
    ),
    Question(
        key="data.new_language",
        page="data",
        kind="bool",
        default=False,
        prompt="A language or script that the base model hardly knows?",
        help="Yes when the base model cannot hold a simple conversation in it.",
        why="Learning a language exceeds what an adapter holds: continued pre-training comes first.",
    ),
    Question(
        key="data.has_facts_that_change",
        page="data",
        kind="bool",
        prompt="Do the answers hold facts that go out of date?",
        help="Prices, versions, opening hours, documents that are edited every week.",
        why="Facts that change belong in retrieval; training them in makes yesterday's answer confident.",
    ),
    Question(
        key="data.has_eval",
        page="data",
        kind="bool",
        suggest=_eval_in_dataset,
        prompt="Do you have a held-out evaluation set?",
        help="Examples that are never trained on, with the answers you expect.",
        why="Without one nobody can say whether training helped; a part of the data is then kept back.",
    ),
    Question(
        key="task.count",
        page="task",
        kind="int",
        low=1,
        high=100_000,
        default=1,
        prompt="How many tasks or tenants, each with behaviour of its own?",
        help="Customers, products or skills that need different answers to the same prompt.",
        why="Many tasks on one base favour adapters: megabytes each instead of a whole model.",
    ),
    Question(
        key="task.switch_per_request",
        page="task",
        kind="bool",
        default=False,
        prompt="Must the server switch between them from request to request?",
        applies=_several_tasks,
        help="Yes when one running server answers for all of them.",
        why="Only unmerged adapters can be swapped per request.",
    ),
    Question(
        key="task.priority",
        page="task",
        kind="choice",
        default="quality",
        prompt="What matters most?",
        choices=_meanings(
            PRIORITIES,
            quality="the best result that the hardware allows",
            iteration="many trials a day",
            cost="the fewest GPU-hours",
        ),
        help="What you would give the other two up for.",
        why="Trials and cost favour adapters; quality allows full fine-tuning where the data can fill it.",
    ),
    Question(
        key="task.shift",
        page="task",
        kind="choice",
        prompt="How far is it from what the base model can do?",
        choices=_meanings(
            SHIFTS,
            small="style, tone, format",
            medium="a domain with its own words and habits",
            large="a skill or knowledge it does not have",
        ),
        help="Try three prompts on the base model: nearly right is small, lost is large.",
        why="The farther, the more capacity the update needs.",
    ),
    Question(
        key="task.retention_critical",
        page="task",
        kind="bool",
        default=False,
        prompt="Must its general ability be kept?",
        help="Yes when the model still has to answer outside the new task.",
        why="Full fine-tuning forgets more; LoRA, a lower learning rate and replayed data forget less.",
    ),
    Question(
        key="task.retention_failed",
        page="task",
        kind="bool",
        default=False,
        prompt="Did an earlier tune lose too much of it?",
        applies=_must_retain,
        help="A model tuned before, judged on prompts outside the task.",
        why="Then a gentler method is worth its cost: lower rate, smaller rank, replayed data.",
    ),
    Question(
        key="task.prompting_tried",
        page="task",
        kind="bool",
        prompt="Have you measured what prompting alone reaches?",
        help="A prompt with a few examples, scored on the evaluation set.",
        why="It costs an hour, is the baseline to beat, and sometimes is enough.",
    ),
    Question(
        key="deploy.engine",
        page="deployment",
        kind="choice",
        prompt="What will serve it?",
        choices=_meanings(
            ENGINES,
            vllm="vLLM",
            sglang="SGLang",
            llama_cpp="llama.cpp (GGUF)",
            ollama="Ollama (GGUF)",
            transformers="transformers, in Python",
            other="something else",
        ),
        help="The engine that will answer requests.",
        why="Engines limit rank and modules of adapters, and some take merged models only.",
    ),
    Question(
        key="deploy.latency_critical",
        page="deployment",
        kind="bool",
        default=False,
        prompt="Is the lowest latency required?",
        help="Yes when every millisecond per token counts.",
        why="An adapter that is kept apart costs time at each token; a merged one costs none.",
    ),
    Question(
        key="deploy.artifact",
        page="deployment",
        kind="choice",
        default="any",
        suggest=_adapters_when_switching,
        prompt="One merged model, or separate adapters?",
        choices=_meanings(
            ARTIFACTS,
            merged="one set of weights, as fast as the base",
            adapters="the base once, small files beside it",
            any="whichever suits",
        ),
        help="What the serving side expects to load.",
        why="A full fine-tuning can only deliver a whole model.",
    ),
    Question(
        key="deploy.weights",
        page="deployment",
        kind="choice",
        default="16bit",
        prompt="Number format that is served",
        choices=_meanings(
            WEIGHT_FORMATS,
            _16bit="bf16 or fp16, nothing lost",
            fp8="8 bits, recent cards",
            _4bit="AWQ, GPTQ or NF4",
            gguf="for llama.cpp and Ollama",
        ),
        help="The weights as the server will hold them.",
        why="Quantise after merging; an adapter trained on other numbers than it is served on loses quality.",
    ),
    Question(
        key="storage.budget_bytes",
        page="storage",
        kind="size",
        low=1,
        prompt="Space for everything that is kept",
        example="500GiB",
        help="All delivered variants together, with a unit: 500GiB, 2TB.",
        why="Whole models take gigabytes each, adapters megabytes.",
    ),
    Question(
        key="storage.variants",
        page="storage",
        kind="int",
        low=1,
        high=1_000_000,
        suggest=_one_variant_per_task,
        prompt="How many trained variants are kept?",
        help="Tasks, tenants and versions that must stay available.",
        why="Multiplied by the size of one result it must stay within the budget.",
    ),
    Question(
        key="wish.method",
        page="wishes",
        kind="choice",
        prompt="A method that you want?",
        choices=_meanings(
            METHODS,
            full="every weight is trained",
            lora="low-rank adapters on a 16-bit base",
            qlora="low-rank adapters on a 4-bit base",
            prefix="trained key and value prefixes",
            adapter="small bottleneck layers",
        ),
        help="It is honoured where it can work, and what speaks against it is shown.",
        why="Leave it open to get the advice.",
    ),
    Question(
        key="wish.max_seq_len",
        page="wishes",
        kind="int",
        low=8,
        high=10_000_000,
        prompt="A sequence length that you want?",
        example="4096",
        help="Longer examples are cut at this many tokens.",
        why="Leave it open to have it chosen from the lengths in the data.",
    ),
    Question(
        key="wish.variant",
        page="wishes",
        kind="choice",
        prompt="A LoRA variant that you want?",
        choices={
            "dora": "magnitude and direction apart",
            "rslora": "scaled by the root of the rank",
            "pissa": "starts from the principal components",
            "loftq": "starts from the quantisation error",
            "loraplus": "a higher learning rate for B",
        },
        help="Variants of LoRA that peft offers.",
        why="None is better everywhere; leave it open unless you compare.",
    ),
    Question(
        key="wish.neftune",
        page="wishes",
        kind="bool",
        default=False,
        prompt="Noisy embeddings (NEFTune)?",
        help="Random noise on the embeddings while training.",
        why="It can lengthen chat answers; its gain on other tasks is not established.",
    ),
)

BY_KEY: dict[str, Question] = {question.key: question for question in QUESTIONS}

UNKNOWN_KEYS = [key for key in BY_KEY if "." in key and key not in BY_PATH]
if UNKNOWN_KEYS:
    raise ValueError(f"questions that fill no fact: {UNKNOWN_KEYS}")


def on_page(page: Page) -> tuple[Question, ...]:
    """The questions of one page, in the order in which they are asked."""
    return tuple(question for question in QUESTIONS if question.page == page)
