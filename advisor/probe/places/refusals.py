"""Why a description is not understood, with what to write instead."""

from __future__ import annotations

import re

from advisor.base.errors import Problem
from advisor.base.language import later, tr
from advisor.probe.places.nearest import nearest_labels
from advisor.probe.places.table import places_like
from trainers.accelerators import ACCELERATORS

FORMS = later(
    '"RTX 4090", "8x H100-80GB", "2x 24GiB", "2 nodes of 8x A100-80GB", "Colab T4", '
    '"g5.12xlarge", "cpu", or a file that `sft-advisor probe --json` wrote'
)
_UNSUPPORTED = {
    "Google TPUs": r"\btpu|\bv5litepod\b|\bv[56]e\b|\bv5p\b|\btrillium\b",
    "Intel Gaudi": r"gaudi|\bhabana|\bhl-?\d{3}\b|\bdl[12]q?\b",
    "Huawei Ascend": r"\bascend|\b910[a-d]?\b|\u6607\u817e|\batlas \d+|\bnpus?\b",
    "AWS Trainium and Inferentia": r"\btrainium|\binferentia|\btrn\d|\binf\d\.",
    "Graphcore, Cerebras, Groq and SambaNova": r"\bgraphcore|\bipu\b|\bcerebras|\bgroq|\bsambanova",
    "Cambricon, Kunlun, Moore Threads, Hygon, MetaX, Iluvatar, Enflame and Biren": (
        r"\bcambricon|\bmlu ?\d+|\bkunlun|\bmoore thread|\bmtt s\d+|\bhygon|\bdcu\b|\bbiren|\bmetax\b|\btianshu"
        r"|\benflame\b|\biluvatar\b|\u5bd2\u6b66\u7eaa|\u6606\u4ed1|\u6469\u5c14\u7ebf\u7a0b|\u6d77\u5149|\u6c90\u66e6"
        r"|\u5929\u6570\u667a\u82af|\u71e7\u539f|\u58c1\u4ede"
    ),
    "AMD's Radeon Pro V520: its generation (RDNA 1) has no ROCm": r"\bg4ad\b|\bv520\b",
    "AMD's cards before RDNA 2: they have no ROCm": r"\brx ?(?:4[678]0|5[5-9]0|5[35-7]00)\b"
    r"|\b5[567]00 ?xt\b|\bvega ?(?:56|64)\b",
    "Intel's UHD and Iris graphics": r"\biris\b|\buhd\b",
    "Tenstorrent": r"\btenstorrent|\bwormhole|\bgrayskull",
}
_DISPUTED = {
    r"\bg7\.8xlarge$": (
        later("sources give it one card or two"),
        ("AWS g7.4xlarge", "2x RTX PRO 4500 Server"),
    ),
    r"\bg7\.12xlarge$": (
        later("sources give it two cards or four"),
        ("AWS g7.24xlarge", "2x RTX PRO 4500 Server"),
    ),
    r"^(?:google )?(?:colab|kaggle)\b.* cpu\b": (
        later("its machines without a GPU have 2 to 4 cores; to plan for one, say what it has"),
        ("cpu, 4 cores, 13GB RAM",),
    ),
    r"\bzero ?gpu\b": (
        later("it lends a slice of a card for minutes, to answer and not to train"),
        ("Hugging Face Spaces l40sx1",),
    ),
    r"nc24lds.xl.rtxpro6000bse.v6$": (later("it has a part of a card, of unknown size"), ("RTX PRO 6000 Server",)),
}
"""Machine types whose cards are not known, with why and what to write instead."""
_MACHINE_TYPE = re.compile(
    r"\b(?:ecs|bm|vm|ml)\.\w|\bstandard[_ ]\w*\d|\d*x?large"
    r"|\b\w+-(?:standard|highgpu|megagpu|ultragpu|highmem|metal)\b"
    r"|\b[a-z]+\d+\w* v\d\b|_v\d\b|\bgpu[-_]\d"
)
"""As clouds write them: "g5.13xlarge", "Standard_NC12s_v3", "n1-standard-8"."""
_MAC = re.compile(r"\b(?:mac(?:book|mini|pro|s)?|imac|apple)\b")
_NO_NAME = re.compile(
    r"^(?:(?:my|the|a|an|one|some|gaming|nvidia|amd|intel|new|old|good)\s+)*(?:laptop|gpu|card|desktop|pc|computer|workstation|server|cluster)$"
)


def problem(text: str, why: str, choices: tuple[str, ...] = ()) -> Problem:
    """`text` is not understood because `why`; `choices` are what may have been meant."""
    nearest = tr("Nearest: {choices}. ", choices=", ".join(choices)) if choices else ""
    return Problem(
        what=tr("the machine {text!r} is not understood", text=text[:120]),
        why=why,
        fix=tr(
            "{nearest}Write {forms}. A card that is not in the catalogue can be given by its memory.",
            nearest=nearest,
            forms=tr(FORMS),
        ),
        where="--hardware",
    )


def unsupported(words: str) -> Problem | None:
    """The refusal of an accelerator that nothing here trains on, None for every other word."""
    maker = next((maker for maker, pattern in _UNSUPPORTED.items() if re.search(pattern, words)), None)
    if maker is None:
        return None
    return Problem(
        what=tr("the machine {words!r} is not supported", words=words[:120]),
        why=tr("the trainers here do not run on {maker}", maker=maker),
        fix=tr('Plan for one of these: {supported}; for example --hardware "A100 80GB".', supported=_supported()),
        where="--hardware",
    )


def _supported() -> str:
    makers = ", ".join(f"{row.maker} ({row.platform})" for row in ACCELERATORS.values() if row.vendor)
    return tr("GPUs of {makers}, and the CPU", makers=makers)


def disputed(words: str) -> Problem | None:
    """The refusal of a machine type that exists and whose cards are not known."""
    for pattern, (why, choices) in _DISPUTED.items():
        if re.search(pattern, words):
            return problem(words, tr("it is a known machine type, but {why}", why=tr(why)), choices)
    return None


def unknown_card(words: str, name: str) -> Problem:
    """No such card, with the nearest ones."""
    if _MAC.search(name):
        return problem(words, tr("a Mac is named by its chip and memory"), ("M3 Max 64GB",))
    if re.search(r"superpod|basepod", name):
        return problem(
            words, tr("such a cluster is named by its systems and their number"), ("32 nodes of DGX H100",)
        )
    if "jetson" in name:
        return problem(words, tr("a Jetson is named by its module"), ("Jetson Orin Nano 8GB", "Jetson AGX Orin 64GB"))
    if _MACHINE_TYPE.search(name):
        why = tr("it is written as a cloud's machine type, and this one is not in the table; name its cards and RAM")
        return problem(words, why, places_like(name) or ("8x A100 40GB, 1152GB RAM",))
    if _NO_NAME.match(name):
        return problem(words, tr("it does not say which; without --hardware this machine is measured"))
    return problem(words, tr("no such card is in the catalogue"), nearest_labels(name))
