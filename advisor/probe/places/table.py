"""Machines that people rent or borrow, found by the names that providers and people use (machines.toml).

place_of("g5.12xlarge")     -> AWS g5.12xlarge: 4 GPUs
provider_of("runpod a100")  -> ("RunPod", "a100")
"""

from __future__ import annotations

import difflib
import re
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from advisor.probe.kept import rows

_FILE = Path(__file__).with_name("machines.toml")
_PROVIDERS = {
    "RunPod": ("runpod", "runpod.io", "run pod"),
    "vast.ai": ("vast ai", "vastai", "vast"),
    "Lambda": ("lambda labs", "lambdalabs", "lambda cloud", "lambda"),
    "Modal": ("modal",),
    "CoreWeave": ("coreweave",),
    "Nebius": ("nebius",),
    "Hyperstack": ("hyperstack",),
    "JarvisLabs": ("jarvislabs", "jarvis labs"),
    "Paperspace": ("paperspace gradient free", "paperspace gradient", "paperspace", "digitalocean gradient"),
    "Google Colab": (
        *("google colab", "google colab pro plus", "google colab pro", "google colab free"),
        *("colab pro plus", "colab pro", "colab free", "colab"),
    ),
    "Kaggle": ("kaggle notebook", "kaggle"),
    "AWS": ("amazon ec2", "amazon", "aws ec2", "aws", "ec2", "sagemaker"),
    "Azure": ("microsoft azure", "azure ml", "azureml", "azure"),
    "GCP": ("google cloud", "gcp", "gce", "vertex ai", "vertex"),
    "OCI": ("oracle cloud", "oracle", "oci"),
    "OVHcloud": ("ovhcloud", "ovh"),
    "Alibaba Cloud": ("alibaba cloud", "aliyun", "alibaba"),
    "Hugging Face Jobs": ("hugging face", "huggingface", "hf jobs", "hf"),
    "Vultr": ("vultr",),
    "UpCloud": ("upcloud",),
    "AutoDL": ("autodl",),
    "SageMaker Studio Lab": ("sagemaker studio lab", "studio lab"),
    "Lightning AI": ("lightning ai", "lightning studio", "lightning"),
    "Databricks": ("databricks",),
    "Thunder Compute": ("thunder compute",),
    "Together AI": ("together ai", "together"),
    "Crusoe": ("crusoe cloud", "crusoe"),
    "Scaleway": ("scaleway",),
    "Verda": ("verda", "datacrunch"),
    "FluidStack": ("fluidstack",),
    "TensorDock": ("tensordock",),
    "Voltage Park": ("voltage park",),
    "SF Compute": ("sf compute", "sfcompute"),
    "Prime Intellect": ("prime intellect",),
    "Massed Compute": ("massed compute",),
    "Cudo Compute": ("cudo compute", "cudo"),
    "Salad": ("saladcloud", "salad"),
    "Gcore": ("gcore",),
    "Akamai": ("akamai", "linode"),
    "IBM Cloud": ("ibm cloud",),
    "Tencent Cloud": ("tencent cloud", "tencent"),
    "Volcengine": ("volcengine", "volcano engine"),
    "Huawei Cloud": ("huawei cloud", "huawei"),
    "Hetzner": ("hetzner",),
    "Baseten": ("baseten",),
    "Replicate": ("replicate",),
    "Anyscale": ("anyscale",),
    "Shadeform": ("shadeform",),
    "DigitalOcean": ("digitalocean", "digital ocean"),
}
_FILLER = re.compile(
    r"\b(?:an?|the|my|on|in|at|from|via|instance|vm|node|machine|runtime|notebook|standard|spaces?|tier|pod|community|secure|cloud|8-gpu)\b"
)

_FAMILY = re.compile(r"(?:AWS|Tencent Cloud|Huawei Cloud|Alibaba Cloud ecs\.) ?(\w+)(?=[.-])")
"""Machines of one family differ in size only: "g3" is the smallest of them."""


class Place(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One machine type as its provider sells it; None means "not known"."""

    name: str
    aliases: tuple[str, ...] = ()
    gpu: str
    gpus: int
    nodes: int = 1
    gpu_memory_gib: float | None = None
    is_slice: bool = False
    """Whether it has a part of each card; one whose card is called after a vGPU profile says so by that name."""
    cores: int | None = None
    ram_gib: float | None = None
    disk_gib: float | None = None
    session_hours: float | None = None
    usd_per_hour: float | None = None
    usd_per_hour_spot: float | None = None
    priced_per_gpu: bool = False
    shared_memory: Literal["half_of_ram", "container", "pod"] | None = None
    price_date: str = ""
    source: str
    note: str = ""


@cache
def places() -> tuple[Place, ...]:
    """Every place, in the order of the file."""
    return rows(_FILE, "place", Place, kept_as="places")


def place_of(words: str) -> Place | None:
    """The place of exactly this name or alias, whatever its case, dashes and filler words; None for no such place."""
    index = _by_name()
    return index.get(_key(words)) or index.get(_key(_FILLER.sub(" ", words.lower())))


def places_like(words: str, limit: int = 4) -> tuple[str, ...]:
    """Names of machine types spelt nearly so, the nearest first."""
    near = difflib.get_close_matches(_key(words), _by_name(), limit, cutoff=0.8)
    return tuple(dict.fromkeys(_by_name()[key].name for key in near))


def provider_of(words: str) -> tuple[str, str]:
    """(provider, the rest) of words that begin or end with a provider's name; ("", words) without one."""
    key = " ".join(words.lower().split())
    for provider, first, last in _spellings():
        if match := first.match(key) or last.match(key):
            return provider, _FILLER.sub(" ", (match[1] or "").removesuffix(" gpu")).strip()
    return "", words


def place_with(provider: str, gpu: str, gpus: int) -> Place | None:
    """The one place of `provider` that has so many of this card, None where there is none or a choice.

    Where GPUs are sold singly it is the first with this card, of `gpus` times its price.
    """
    here = [place for place in places() if place.name.startswith(provider) and place.gpu == gpu]
    found = [place for place in here if place.gpus == gpus and not place.priced_per_gpu]
    if found:
        return found[0] if len(found) == 1 else None
    return next((place for place in here if place.priced_per_gpu), None)


@cache
def _by_name() -> dict[str, Place]:
    index: dict[str, Place] = {}
    for place in places():
        for text in (place.name, *place.aliases):
            index.setdefault(_key(text), place)
            index.setdefault(_key(text.removeprefix("ecs.")), place)
    for place in sorted(places(), key=lambda place: (place.gpus, place.cores or 0, place.ram_gib or 0)):
        if match := _FAMILY.match(place.name):
            smallest = index.setdefault(_key(match[1]), place)
            index.setdefault(_key(match[0]), smallest)
    return index


@cache
def _spellings() -> tuple[tuple[str, re.Pattern[str], re.Pattern[str]], ...]:
    """(provider, its name first, its name last), the longest name first."""
    named = [(spelling, provider) for provider, spellings in _PROVIDERS.items() for spelling in spellings]
    found = []
    for spelling, provider in sorted(named, key=lambda pair: -len(pair[0])):
        name = re.escape(spelling).replace(r"\ ", r"[\s.-]?")
        first = re.compile(rf"^{name}(?:[\s:,/-]+(.*)|)$")
        found.append((provider, first, re.compile(rf"^(.+?)[\s,]+(?:on |at |from )?{name}$")))
    return tuple(found)


def _key(text: str) -> str:
    words = re.sub(r"(?<=\d)xl\b", "xlarge", text.lower())
    return " ".join(re.sub(r"[^a-z0-9]+", " ", words).split())
