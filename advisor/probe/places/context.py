"""What stands around a card in a description and is none: processors, kinds of computer, schedulers, systems.

without_context("slurm: 4 nodes 4xa100")       -> "4 nodes 4xa100"
without_context("razer blade rtx 4090")        -> "rtx 4090 laptop"
names_no_card("i9-13900k")                     -> True
host_words("8 core cpu with 32gb")             -> HostWords(is_cpu=True, cores=8, ram_gib=32)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from advisor.probe.places.table import provider_of

_LAPTOP_FIRST = re.compile(
    r"^(?:(?:a|my|gaming|thin)\s+)*(?:laptop|notebook)\s+(?:with\s+)?(?:an?\s+)?([^,+]*\d[^,+]*?)(?=\s*,|$)"
)
"""A "laptop with RTX 4070" has the laptop's card."""
_LAPTOP_BRANDS = (
    r"thinkpad|legion|ideapad|loq|xps|alienware|razer|blade|zephyrus|omen|victus|predator|nitro|helios"
    r"|(?:rog|tuf|aorus)(?=[^,+]*?\b(?:[afgmx]?1[3-8](?!\s?g)\w*|scar|flow|zephyrus|strix g\d*|laptop)\b)"
    r"|precision(?:\s\d{4})?(?=[^,+]*\b(?:laptop|mobile)\b)|zenbook|vivobook|proart|surface|zbook|raider|stealth|katana|tuxedo|clevo"
)
_LAPTOP_OF_BRAND = re.compile(
    rf"^[^,+]*?\b(?:{_LAPTOP_BRANDS})\b[^,+]*?\s"
    r"((?:nvidia |geforce |quadro )*(?:rtx|gtx|rx|mx\d{3}|[at]\d{4}\b|(?!20[12]\d)\d{4}\b)[^,+]*?)"
    r"(?:\s+(?:laptop|mobile)(?:\s+gpu)?)?(?=\s*[,+]|$)"
)
"""A "razer blade 4090" has the card that laptops have."""
_SERVER_BRANDS = r"(?:supermicro|dell|lenovo|hpe?|asus|gigabyte|inspur|exxact|bizon|puget|poweredge|thinksystem)"
_KINDS = (
    r"(?:gaming |mining |home |lab |office |local |new |old |own |linux |windows )*"
    r"(?:pc|desktop|workstation|server|rig|computer|box|machine|host|node|instance|vm|cluster|rack|bare metal|on-prem"
    r"|slurm cluster|slurm job|slurm|hpc cluster|hpc|kubernetes|k8s|docker|wsl2?|skypilot|sky|ray"
    rf"|{_SERVER_BRANDS}(?:\s+{_SERVER_BRANDS})?(?:\s+(?!\d+\s*x)\w*\d\w*(?=\s+(?:with|\d)))?)"
)
_OPTIONS = re.compile(r"^(?:--?gres[= ]gpu:|--gpus?(?:-type)?[= ]|accelerators?:\s*|gpus?:\s*)")
"""Of SLURM, Docker, Modal and SkyPilot, before the card."""
_MARKS = re.compile(r"[{}]|(?<!\d)\"|\"(?=:)")
_TERMS = re.compile(
    r"\b(?:on|as)?\s*\b(?:spot|on[- ]demand|preemptible|interruptible|reserved)\b(?:\s+(?:instances?|vms?|price))?"
)
_SYSTEM_LAST = re.compile(
    r"\s+(?:on|under|in|via|inside)\s+(?:wsl2?|linux|windows(?:\s1\d)?|ubuntu|docker|kubernetes|k8s|slurm)$"
)
_KIND_FIRST = re.compile(
    rf"^(?:(?:my|a|an|the|our|one|just|only)\s+)?{_KINDS}\s*[:,]?\s+(?:(?:with|of|has|having|running)\s+)?(?=\S)"
)
_INCHES = re.compile(r"^1[3-6](?:[\s-]?inch|\")\s+(?=macbook)")
_OWNER = re.compile(
    r"^(?:my|our|just|only)\s+(?=\S+\s*\S)(?!(?:laptop|gpu|card|desktop|pc|computer|workstation|server|cluster)$)"
)
_KIND_LAST = re.compile(
    r"(?<!\bone)(?<!\ba)(?<!\bper)(?<!\beach)(?<![\s(x]\d)(?<![\s(x]\d\d)"
    r"\s+(?:gaming )?(?:pc|rig|computer|box|machine|node|instance|vm|cluster)$"
)
_PROCESSOR = re.compile(
    r"^(?:intel\s+|amd\s+)?(?:"
    r"core\s+(?:i[3579]|ultra\s+[579])(?:[\s-]?\d{3,5}[a-z]{0,2})?|i[3579](?:[\s-]?\d{4,5}[a-z]{0,2})?"
    r"|ultra\s+[579]\b(?:\s\d{3}[a-z]{0,2})?|xeon(?:\s+(?:gold|silver|platinum|bronze|w))?(?:[\s-]?\w?\d{4}\w{0,2})?"
    r"|epyc(?:\s+\d\w{3}\w?)?|threadripper(?:\s+pro)?(?:\s+\d{4}\w*)?"
    r"|ryzen(?!\s+ai)(?:\s+threadripper)?(?:\s+pro)?(?:\s+[3579])?(?:\s+\d{4}\w*)?|[3579]\d{3}x(?:3d)?(?=\s|$)"
    r")(?:\s+(?:cpus?|processors?))?(?:\s+|$)"
)
_SYSTEM_WORDS = re.compile(
    r"^(?:(?:ubuntu|debian|linux|windows|wsl2?|centos|rocky)(?:\s+[\d.]+)?|infiniband|ethernet|pcie(?:\s?[x\d.]+)?)$"
)
_SYSTEM_FIRST = re.compile(
    r"^(?:ubuntu|debian|linux|windows|wsl2?|centos|rocky)"
    r"(?:\s+(?:\d{1,2}\.\d+|(?<=windows )1[01]|lts)(?![^\s,]))*+\s+(?=\S)"
)
_WITH_CARD = re.compile(r"^([\w. ]+?)\s+with\s+(?:an?\s+)?(?!\d+\s*g)")
"""A provider "with" its card is one thing."""
_SIZE = r"(?P<gib>\d+(?:\.\d+)?)\s*(?P<unit>gib|gb|g|tib|tb)\b"
_RAM_WORD = r"(?:(?:of\s+)?(?:system |host |cpu )?(?:ram|memory|lp?ddr[3-5]\w?|ddr[3-5])(?:[\s-]\d{4})?)"
_RAM = re.compile(rf"^(?:with\s+)?{_SIZE}\s*{_RAM_WORD}$")
_RAM_FIRST = re.compile(rf"^{_RAM_WORD}[:\s]+{_SIZE}$")
_BARE_SIZE = re.compile(rf"^{_SIZE}$")
_DISK = re.compile(
    rf"^(?:with\s+)?{_SIZE}\s*(?:of\s+)?(?:nvme ssd|nvme|ssd|hdd|disk|storage)(?:\s+(?:space|free|drive))?$"
)
_HOST_WORD = re.compile(
    rf"\s*(?:{_SIZE}(?:\s*{_RAM_WORD})?|(?P<cores>\d{{1,4}})[\s-]*(?:x\s*)?(?:cpu\s+)?(?:cores?|v?cpus?|threads)\b"
    r"|(?P<cpu>cpu[- ]only|cpus?\b|no gpus?\b|no graphics(?: card)?\b|integrated graphics\b|"
    r"none\b|without (?:a )?gpu\b|processor\b)"
    r"|(?:only|with|a|an|and|of|the|just|machine|server|laptop|notebook|desktop|workstation|computer|node|box|pc)\b)"
)
_GOOGLE_HOST = re.compile(r"^(?:gcp\s+)?(n1-(?:standard|highmem)-(\d{1,2}))$")
_GOOGLE_GIB_PER_VCPU = {"standard": 3.75, "highmem": 6.5}
"""Of N1 machines, to which GPUs are attached (cloud.google.com/compute/docs/general-purpose-machines)."""


class HostWords(msgspec.Struct, frozen=True):
    """What a piece says about the machine around the cards."""

    is_cpu: bool = False
    cores: int | None = None
    ram_gib: float | None = None
    disk_gib: float | None = None


def without_context(words: str) -> str:
    """The description without the words before and after it that name no card; a laptop's card says so."""
    if match := _LAPTOP_FIRST.match(words):
        return _LAPTOP_FIRST.sub(r"\1 laptop", words)
    if match := _LAPTOP_OF_BRAND.match(words):
        return f"{match[1].strip()} laptop{words[match.end() :]}"
    words = " ".join(_TERMS.sub(" ", _MARKS.sub(" ", words)).split())
    before = ""
    while words != before:
        before = words
        for pattern in (_OPTIONS, _INCHES, _SYSTEM_FIRST, _KIND_FIRST, _OWNER, _KIND_LAST, _SYSTEM_LAST):
            words = pattern.sub("", words).strip()
    return _WITH_CARD.sub(r"\1 ", words) if provider_of(words)[0] else words


def without_processor(piece: str) -> str:
    """The piece without the processor's name at its front: "epyc 7763 8x a100" -> "8x a100"."""
    return _PROCESSOR.sub("", piece)


def names_no_card(piece: str) -> bool:
    """Whether the piece names a processor, a system or a network, and nothing to train on."""
    return not without_processor(piece) or bool(_SYSTEM_WORDS.match(piece))


def halves(piece: str) -> Iterator[tuple[str, str]]:
    """Ways to cut in two a piece that nobody understands whole: RAM beside a card, card beside card.

    A size alone is RAM only behind a processor; elsewhere it is a memory that the card does not have.
    """
    words = without_processor(piece)
    words = words if words == piece else without_context(words)
    for cut in (match.span() for match in re.finditer(r"\s+", words)):
        left, right = words[: cut[0]], words[cut[1] :]
        if bare_size_gib(right) is None and (bare_size_gib(left) is None or words != piece):
            yield left, right


def host_words(piece: str) -> HostWords | None:
    """RAM, disk, cores or "cpu" in a piece of a description; None for a piece that says something else."""
    if match := _GOOGLE_HOST.match(piece):
        cores = int(match[2])
        return HostWords(cores=cores, ram_gib=cores * _GOOGLE_GIB_PER_VCPU[match[1].split("-")[1]])
    if match := _DISK.match(piece):
        return HostWords(disk_gib=_gib(match["gib"], match["unit"]))
    if match := _RAM.match(piece) or _RAM_FIRST.match(piece):
        return HostWords(ram_gib=_gib(match["gib"], match["unit"]))
    return _loose_words(piece)


def host_beside_processor(piece: str) -> HostWords | None:
    """The same behind a processor's name, where a kind of computer alone says nothing: "i7 laptop 16gb ram"."""
    words = without_processor(piece)
    if not words or words == piece:
        return None
    return _every_word(words)


def bare_size_gib(piece: str) -> float | None:
    """GiB of a piece that is a size and nothing else ("32 gb"): RAM or the memory of a card, as the others say."""
    match = _BARE_SIZE.match(piece)
    return _gib(match["gib"], match["unit"]) if match else None


def _loose_words(piece: str) -> HostWords | None:
    """ "cpu 16 cores 64gb", "64gb ram cpu", "16 cores": one of the words says that it is the machine's."""
    found = _every_word(piece)
    return found if found and (found.is_cpu or found.cores) else None


def _every_word(piece: str) -> HostWords | None:
    """What the words say of the machine, None where one of them says something else."""
    found, position = HostWords(), 0
    while position < len(piece.rstrip()):
        match = _HOST_WORD.match(piece, position)
        if match is None or match.end() == position:
            return None
        position = match.end()
        found = HostWords(
            is_cpu=found.is_cpu or bool(match["cpu"]),
            cores=int(match["cores"]) if match["cores"] else found.cores,
            ram_gib=_gib(match["gib"], match["unit"]) if match["gib"] else found.ram_gib,
        )
    return found


def _gib(size: str, unit: str) -> float:
    return float(size) * (1024 if unit.startswith("t") else 1)
