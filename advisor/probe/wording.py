"""How people write about GPUs: counts, node counts, memory and card names, as words turned into catalogue rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache

from advisor.base.language import tr
from advisor.probe.catalogue import Card, cards, lookup

SIZE_TOLERANCE = 0.08
"""A "48 GB" card prints 45 GiB and a "141 GB" one 140: spoken and printed sizes within 8 % are the same."""

MOST_GPUS_USUAL = 8
"""In one machine, where nothing else is said."""

NUMBER_WORDS = {
    word: value
    for value, words in {
        1: ("a", "an", "one", "single"),
        2: ("two", "dual", "double", "pair of", "sli", "2-way"),
        3: ("three", "triple", "3-way"),
        4: ("four", "quad", "quadruple", "4-way"),
        5: ("five",),
        6: ("six",),
        7: ("seven",),
        8: ("eight", "octa", "8-way"),
        10: ("ten",),
        12: ("twelve", "dozen", "a dozen"),
        16: ("sixteen",),
    }.items()
    for word in words
}
_WORDS = "|".join(sorted(NUMBER_WORDS, key=len, reverse=True))
_NODE = r"(?:nodes?|machines?|servers?|hosts?|boxes|pcs?|rigs?|workstations?|computers?|vms?|instances?)"
_SEVERAL = r"(?:nodes|machines|servers|hosts|boxes|pcs|rigs|workstations|computers|vms|instances)"
"""In the plural where they stand last: a "6000 Server" is a card."""
_UNIT = r"(?:gib|gb|gigabytes?|gigs?|g)"

_NODES_FIRST = re.compile(rf"^({_WORDS}|\d+)\s*{_NODE}\b\s*(?:of|with|x|×|,|:|each)*\s*(?:with\s+)?(.+)$")
_NODES_TIMES = re.compile(rf"^(\d+)\s*[x×*]\s*(?:\((.+)\)|(\d{{1,3}}\s*(?:[x×*]\s*|\s(?!\s*{_UNIT}\b)).+))$")
_NODES_LAST = re.compile(
    rf"^(.+?)[,\s]*\b(over|across|on|in|x|×|\*)?\s*(?:({_WORDS}|\d+)\s*{_SEVERAL}|(1|one|a)\s+{_NODE})$"
)
_NODES_BRACKET = re.compile(rf"^(.+?)\s*\(\s*({_WORDS}|\d+)\s*{_NODE}\s*\)$")
_GRID_BRACKET = re.compile(r"^(\d+)\s*[x×*]?\s*(.+?)\s*\(\s*(\d+)\s*[x×*]\s*(\d+)\s*\)$")
"""A total with what it is made of: "16x h100 (2x8)"."""
_GRID_LAST = re.compile(
    r"^(.*(?:[a-wyz]|\d{4}).*?)\s+(\d{1,3})\s*[x×*]\s*(\d{1,3})(?:\s+(?:gpus?|cards?|nodes|machines))?$"
)
_GRID_AROUND = re.compile(r"^(\d{1,3})\s*[x×*]\s*(.*(?:[a-wyz]|\d{4}).*?)(?:\s+[x×*]\s*|(?<=\d)[x×*])(\d{1,3})$")
"""Two numbers of one card, "h100 8x2" and "8xh100 x2": machines, and GPUs in each."""
_NODES_THEN_GPUS = re.compile(
    rf"^(.+?)[,\s]+({_WORDS}|\d+)\s*{_NODE}[,\s]+(?:with\s+|of\s+)?(\d+)\s*(?:gpus?|cards?)"
    rf"(?:\s+(?:per|on each|in each|a)\s+{_NODE}|\s+each)?$"
)
_NODES_SHORT = re.compile(r"^(\d{1,4})\s?n\s?(\d{1,2})\s?g\s+(.+)$")
"""As schedulers' logs have it: "2n8g h100"."""
_EACH = re.compile(rf"\s*\b(?:(?:per|a|in each|on each|each)\s+{_NODE}|each)$")

_COUNT_FIRST = re.compile(r"^(?:a\s+)?\(?(\d+)\s*[x×*]\s*\)?\s*(.+)$")
_COUNT_WORD = re.compile(rf"^((?:{_WORDS})|\d{{1,2}}(?!\s*{_UNIT}\b))\s+(.+)$")
_COUNT_MANY = re.compile(r"^(\d{3,5})\s+([a-z]+[\s-]?\d.*)$")
_COUNT_BEHIND = re.compile(
    r"^(.+?)(?:\s+[x×*]\s*|(?<=\d)\s*[x×]\s*|\s*[×*:]\s*|(?<=\d[a-z])x|(?<=\d[a-z]{2})x)(\d{1,4})$"
)
"""After the name: "h100x8", "l40sx4", "4090 x 2", "4090*2", "h100:8"; the x of "rtx 4090" is not one."""
_COUNT_GPUS = re.compile(rf"^({_WORDS}|\d{{1,4}})[\s-]*gpus?\s+(?:of\s+)?([a-z].*)$")
_COUNT_GPUS_LAST = re.compile(r"^(.+?)[\s,]*[\s(](\d{1,4})[\s-]*gpus?\)?$")
_COUNT_NVL = re.compile(r"^(.+?)[\s-]*nvl[\s-]?(2|4|8|16|36|72|144)$")
"""A rack is called by its cards: "gb200 nvl36"."""
_COUNT_INSIDE = re.compile(rf"^(.+?)(?:\s+[x×*]\s*|(?<=\d)[x×])(\d{{1,2}})\s+(\d+(?:\.\d+)?\s*-?{_UNIT})$")
"""Between the name and its memory: "h20x8 96g"."""
_COUNT_LAST = re.compile(r"^(.+?)\s*(?:\(\s*[x×*]?\s*(\d+)\s*[x×*]?\s*\))$")
_COUNT_TIMES_LAST = re.compile(r"^(.+?)\s(\d{1,2})\s*[x×*]$")

_MEMORY_ONLY = re.compile(
    rf"^(?:(?:gpus?|cards?)\s+)?(?:(?:with|of)\s+)?(\d+(?:\.\d+)?)\s*-?{_UNIT}\b"
    r"(?:\s*(?:of\s+)?(?:gpus?|vram|cards?|memory|nvidia|gpu memory|each|laptop|notebook))*$"
)
_MEMORY = re.compile(rf"(?<![\w.])(\d+(?:\.\d+)?)\s*-?{_UNIT}\b(?:\s*(?:of\s+)?vram\b)?")
_MAKERS = (
    r"msi|gigabyte|zotac|evga|palit|gainward|pny|inno3d|colorful|galax|kfa2|sapphire|powercolor|xfx|asrock|sparkle|asus"
    r"|maxsun|yeston|leadtek|manli|rog|tuf|aorus|(?:rog )?strix(?! halo| point)|suprim(?: x)?|ventus(?: [23]x)?"
    r"|gaming(?: x)?(?: trio)?|trio|ftw3|xc3|eagle|windforce|aero|trinity|amp|turbo|blower|founders|fe|oc|overclocked"
    r"|nitro|pulse|red devil|hellhound|phantom|jetstream|master|elite|xtreme|vision|oam|ws|hbm[23]?e?|gddr[56]x?|sxm5"
)
"""Of boards with the chip, and kinds of memory: each card below has its own."""
_IS_SUPER = re.compile(r"(?<=\d{4})(\s?ti)?s\b")
"""The "4080S" is the 4080 SUPER; several "4080s" are said with their number in front."""
_FILLER = re.compile(
    rf"\((?:r|tm)\)|[®™]|\b(?:{_MAKERS})\b|"
    r"\b(?:nvidia|geforce|tesla|quadro|amd|instinct|radeon|intel|arc|rtx|gtx|rx|gpus?|graphics|cards?|modded|modified|"
    r"generation|edition|workstation|desktop|each|with)\b"
)


_SEVERAL_FAMILIES = {
    number: tuple(label.format(number) for label in ("RTX {} Ada", "RTX A{}", "Quadro RTX {}", "RTX PRO {}"))
    for number in ("4000", "5000", "6000")
}
"""Four generations of one number, from 8 to 96 GB: no guess is a safe one."""


class AmbiguousCardError(ValueError):
    """The words fit a card, but not with this memory."""

    def __init__(self, why: str, choices: tuple[str, ...]) -> None:
        super().__init__(why)
        self.choices = choices


_Nodes = tuple[int | None, bool, str]


def split_nodes(text: str) -> _Nodes:
    """(number of machines or None, whether the GPU count is per machine, the rest), in lower case."""
    words = " ".join(text.lower().split())
    return _grid(words) or _nodes_first(words) or _nodes_last(words) or (None, True, words)


def _nodes_first(words: str) -> _Nodes | None:
    if match := _NODES_SHORT.match(words):
        return int(match[1]), True, f"{match[2]}x {match[3]}"
    if match := _NODES_FIRST.match(words):
        return _value(match[1]), True, _EACH.sub("", match[2])
    if match := _NODES_TIMES.match(words):
        return int(match[1]), True, match[2] or match[3]
    return None


def _nodes_last(words: str) -> _Nodes | None:
    if match := _NODES_THEN_GPUS.match(words):
        return _value(match[2]), True, f"{match[3]}x {match[1]}"
    if match := _NODES_BRACKET.match(words):
        return _value(match[2]), False, match[1]
    if match := _NODES_LAST.match(words):
        total = match[2] in ("over", "across", "on", "in")
        return _value(match[3] or match[4]), not total, _EACH.sub("", match[1])
    return None


def _grid(words: str) -> _Nodes | None:
    """Of two numbers the smaller one is taken for that of the machines, where one machine has the other."""
    if (match := _GRID_BRACKET.match(words)) and int(match[1]) == int(match[3]) * int(match[4]):
        return int(match[3]), True, f"{match[4]}x {match[2]}"
    if (match := _GRID_LAST.match(words)) and not _is_card(words):
        name, first, second = match[1], int(match[2]), int(match[3])
    elif (match := _GRID_AROUND.match(words)) and not _is_card(words):
        name, first, second = match[2], int(match[1]), int(match[3])
    else:
        return None
    machines, each = sorted((first, second))
    if each > MOST_GPUS_USUAL:
        machines, each = each, machines
    return machines, False, f"{machines * each}x {name}"


def split_count(words: str) -> tuple[int, str]:
    """(count, name) of "8x h100", "two rtx 3090s", "h100 x8", "h100:8", "4090*2" or "rtx 4090"."""
    words = re.sub(r"^(?:a|an)\s+(?=(?:single|pair|dual)\b)", "", words)
    if words[:1].isdigit() and _is_card(words):
        return 1, words
    if (match := _COUNT_INSIDE.match(words)) and _is_name(match[1]):
        return int(match[2]), f"{match[1]} {match[3]}"
    for pattern, count, name, is_meant in _COUNTS:
        if (match := pattern.match(words)) and is_meant(match[name]):
            return _value(match[count]), _singular(match[name].strip()) if count < name else match[name].strip()
    return 1, words


def _singular(name: str) -> str:
    """Behind their number several "4080s" are no 4080 SUPER."""
    return re.sub(r"(?<=\d{4})s\b", "", name)


def _is_card(words: str) -> bool:
    """Whether the words as they are name a card: "7900 xtx" is not 7,900 of something."""
    try:
        return card_from_words(words)[0] is not None
    except AmbiguousCardError:
        return True


def _is_name(words: str) -> bool:
    """Whether a card can be called so: "4090" can, the "2" of "2x24" cannot."""
    return bool(re.search(r"[a-z]", words)) or bool(re.fullmatch(r"\d{4}", words))


_COUNTS: tuple[tuple[re.Pattern[str], int, int, Callable[[str], bool]], ...] = (
    (_COUNT_GPUS, 1, 2, bool),
    (_COUNT_GPUS_LAST, 2, 1, _is_name),
    (_COUNT_NVL, 2, 1, _is_name),
    (_COUNT_BEHIND, 2, 1, _is_name),
    (_COUNT_MANY, 1, 2, bool),
    (_COUNT_FIRST, 1, 2, bool),
    (_COUNT_WORD, 1, 2, bool),
    (_COUNT_LAST, 2, 1, bool),
    (_COUNT_TIMES_LAST, 2, 1, _is_name),
)
"""Forms of a count, the surest first: pattern, groups of count and name, what else must hold of the name."""


def memory_gib(words: str) -> float | None:
    """The memory of a GPU of which nothing else is said ("24gib", "80 gb gpu"), else None."""
    match = _MEMORY_ONLY.match(words)
    return float(match[1]) if match else None


def spoken_memory_gib(words: str) -> float | None:
    """The memory named beside a card ("a100 80gb"), else None."""
    match = _MEMORY.search(words.replace("_", " "))
    return float(match[1]) if match else None


def card_from_words(words: str) -> tuple[Card | None, str]:
    """The card that the words name, and what had to be assumed ("" for nothing). (None, "") for an unknown card.

    Raises AmbiguousCardError when the card is known but was never made with the memory that is named.
    """
    _refuse_several_families(words)
    for spelling in _spellings(words):
        if not _key(spelling):
            continue
        card = lookup(spelling) or _index_of_exact().get(_key(spelling))
        if card is not None:
            return card, _assumption(words, card)
        named = spoken_memory_gib(spelling)
        siblings = _index_of_families().get(_key(_without_memory(spelling)), ())
        if not siblings:
            continue
        if named is None:
            card = min(siblings, key=lambda sibling: sibling.memory_mib or 0)
            return card, _assumption(words, card)
        return _sibling_of_size(words, siblings, named)
    return None, ""


def _spellings(words: str) -> Iterator[str]:
    """The words, then as others write the same: plurals, laptops' chips with M or Max-Q, Instinct without its X."""
    if _IS_SUPER.search(words):
        yield _IS_SUPER.sub(r"\1 super", words)
    yield words
    yield re.sub(r"s\b", "", words)
    yield re.sub(r"(?<=\d{4})m\b|\b(?:mobile|notebook|max-?q)\b", " laptop", words)
    yield re.sub(r"\b(mi\d{3})\b", r"\1x", words)


def _refuse_several_families(words: str) -> None:
    bare = re.fullmatch(r"(?:nvidia\s+)?(?:rtx\s*)?(\d{4})", _without_memory(words).strip())
    labels = _SEVERAL_FAMILIES.get(bare[1], ()) if bare else ()
    if bare and labels and (spoken_memory_gib(words) is None or lookup(words) is None):
        raise AmbiguousCardError(tr("several cards are called RTX {bare}", bare=bare[1]), labels)


def _sibling_of_size(words: str, siblings: tuple[Card, ...], named_gib: float) -> tuple[Card, str]:
    sizes = [
        (abs(size * shown / 1024 - named_gib), size, card)
        for card in siblings
        for size in card.sizes_mib
        for shown in {1, card.devices}
    ]
    distance, size, card = min(sizes, key=lambda item: item[0], default=(named_gib, 0, siblings[0]))
    if card.unified and (not size or distance > named_gib * SIZE_TOLERANCE):
        return card.of_size(round(named_gib * 1024)), ""
    if distance > named_gib * SIZE_TOLERANCE:
        made = sorted({round(size / 1024) for _, size, _ in sizes})
        raise AmbiguousCardError(
            tr(
                "{family} cards have {made} GiB, not {named_gib:g}",
                family=siblings[0].family,
                made=tr(" or ").join(map(str, made)),
                named_gib=named_gib,
            ),
            tuple(dict.fromkeys(sibling.label for sibling in siblings)),
        )
    return card.of_size(size), _assumption(words, card.of_size(size))


def _assumption(words: str, card: Card) -> str:
    """What was assumed where the words fit several cards, "" where they fit one."""
    key = _key(_without_memory(words))
    named = spoken_memory_gib(words)
    others = [
        other.label
        for other in _index_of_families().get(key, ())
        if other.name != card.name and (named is None or _fits(other, named))
    ]
    smaller = [size for size in card.other_memory_mib if size < (card.memory_mib or 0) and named is None]
    others += [f"{card.label} {round(size / 1024)}GB" for size in smaller]
    if not others:
        return ""
    size = tr(", {round} GiB", round=round(card.memory_mib / 1024)) if card.memory_mib else ""
    return tr(
        "`{words}` was read as {label}{size}; there is also {others}",
        words=words,
        label=card.label,
        size=size,
        others=", ".join(others),
    )


def _fits(card: Card, named_gib: float) -> bool:
    return any(abs(size / 1024 - named_gib) <= named_gib * SIZE_TOLERANCE for size in card.sizes_mib)


def _value(text: str) -> int:
    return NUMBER_WORDS[text] if text in NUMBER_WORDS else int(text)


def _key(text: str) -> str:
    words = re.sub(r"\b(rtx|gtx|rx|geforce|tesla)(?=[a-z]?\d)", r"\1 ", text.lower().replace("_", " "))
    return re.sub(r"[^a-z0-9]", "", _FILLER.sub(" ", words))


def _without_memory(text: str) -> str:
    return _MEMORY.sub(" ", text.lower().replace("_", " "))


@cache
def _index_of_exact() -> dict[str, Card]:
    index: dict[str, Card] = {}
    for texts in (
        [(c, (c.name,)) for c in cards()],
        [(c, c.aliases) for c in cards()],
        [(c, (c.label,)) for c in cards()],
    ):
        for card, spellings in texts:
            for text in spellings:
                index.setdefault(_key(text), card)
    return index


@cache
def _index_of_families() -> dict[str, tuple[Card, ...]]:
    index: dict[str, dict[str, Card]] = {}
    for card in cards():
        for text in (card.family, card.label, card.name, *card.aliases):
            index.setdefault(_key(_without_memory(text)), {})[card.name] = card
    return {key: tuple(found.values()) for key, found in index.items()}
