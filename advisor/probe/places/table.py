"""Machines that people rent or borrow, found by the names that providers and people use (machines.toml).

place_of("g5.12xlarge")     -> AWS g5.12xlarge: 4 GPUs
provider_of("runpod a100")  -> ("RunPod", "a100")
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from advisor.probe.kept import rows

_FILE = Path(__file__).with_name("machines.toml")
_PROVIDERS = {
    "RunPod": ("runpod", "run pod"),
    "vast.ai": ("vast ai", "vastai", "vast"),
    "Lambda": ("lambda labs", "lambdalabs", "lambda cloud", "lambda"),
    "Modal": ("modal",),
    "CoreWeave": ("coreweave",),
    "Nebius": ("nebius",),
    "Hyperstack": ("hyperstack",),
    "JarvisLabs": ("jarvislabs", "jarvis labs"),
    "Paperspace": ("paperspace", "digitalocean gradient"),
    "Google Colab": ("google colab", "colab pro plus", "colab pro+", "colab pro", "colab free", "colab"),
    "Kaggle": ("kaggle notebook", "kaggle"),
    "AWS": ("amazon ec2", "amazon", "aws ec2", "aws", "ec2", "sagemaker"),
    "Azure": ("microsoft azure", "azure"),
    "GCP": ("google cloud", "gcp", "gce", "vertex ai", "vertex"),
    "OCI": ("oracle cloud", "oracle", "oci"),
    "OVHcloud": ("ovhcloud", "ovh"),
    "Alibaba Cloud": ("alibaba cloud", "aliyun", "alibaba"),
    "Hugging Face Jobs": ("hugging face", "huggingface", "hf jobs", "hf"),
    "Vultr": ("vultr",),
    "UpCloud": ("upcloud",),
    "AutoDL": ("autodl",),
    "SageMaker Studio Lab": ("sagemaker studio lab", "studio lab"),
    "Lightning AI": ("lightning ai", "lightning"),
    "Databricks": ("databricks",),
    "Thunder Compute": ("thunder compute",),
}
_FILLER = re.compile(r"\b(?:an?|the|my|on|in|at|from|via|instance|vm|node|machine|runtime|notebook|standard|8-gpu)\b")


class Place(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One machine type as its provider sells it; None means "not known"."""

    name: str
    aliases: tuple[str, ...] = ()
    gpu: str
    gpus: int
    nodes: int = 1
    gpu_memory_gib: float | None = None
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


def provider_of(words: str) -> tuple[str, str]:
    """(provider, the rest) of words that begin or end with a provider's name; ("", words) without one."""
    key = " ".join(words.lower().split())
    for provider, spellings in _PROVIDERS.items():
        for spelling in sorted(spellings, key=len, reverse=True):
            name = re.escape(spelling).replace(r"\ ", r"[\s.-]?")
            match = re.match(rf"^{name}(?:[\s:,/-]+(.*)|)$", key) or re.match(
                rf"^(.+?)[\s,]+(?:on |at |from )?{name}$", key
            )
            if match:
                return provider, _FILLER.sub(" ", (match[1] or "").removesuffix(" gpu")).strip()
    return "", words


def place_with(provider: str, gpu: str, gpus: int) -> Place | None:
    """The one place of `provider` that has so many of this card, None where there is none or a choice."""
    found = [
        place for place in places() if place.name.startswith(provider) and (place.gpu, place.gpus) == (gpu, gpus)
    ]
    return found[0] if len(found) == 1 else None


@cache
def _by_name() -> dict[str, Place]:
    index: dict[str, Place] = {}
    for place in places():
        for text in (place.name, *place.aliases):
            index.setdefault(_key(text), place)
    return index


def _key(text: str) -> str:
    words = re.sub(r"(?<=\d)xl\b", "xlarge", text.lower())
    return " ".join(re.sub(r"[^a-z0-9+]+", " ", words).split())
