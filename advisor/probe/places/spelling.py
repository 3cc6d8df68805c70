"""What was typed, as plain words: full-width and look-alike letters, dashes, counts of other languages."""

from __future__ import annotations

import re
import unicodedata

MAX_CHARACTERS = 400
"""More than any machine takes to describe."""

# letters of other alphabets that look like Latin ones: Cyrillic, then Greek
_LOOKALIKES = str.maketrans(
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u0458\u0455"
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0406\u0408\u0405"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf\u03bd\u03c1\u03c7",
    "abekmhopctyxijs" + "ABEKMHOPCTYXIJS" + "ABEZHIKMNOPTYXovpx",
)
_PRODUCT_PLUS = re.compile(r"\b(pro|max)\+", re.I)
"""The plus of "Colab Pro+" and "Ryzen AI Max+" belongs to the name; every other one joins two kinds of card."""
_HAN_NUMBERS = {
    "\u5355": 1,
    "\u4e00": 1,
    "\u53cc": 2,
    "\u4e24": 2,
    "\u4e8c": 2,
    "\u4e09": 3,
    "\u56db": 4,
    "\u4e94": 5,
    "\u516d": 6,
    "\u4e03": 7,
    "\u516b": 8,
    "\u5341": 10,
    "\u5341\u4e8c": 12,
    "\u5341\u516d": 16,
}
_HAN = "|".join(sorted(_HAN_NUMBERS, key=len, reverse=True))
_CARDS = "[\u5f20\u5757\u5361\u8def]"
_HAN_MACHINES = re.compile(rf"(?<![\w.])(\d{{1,4}}|{_HAN})\s*\u53f0")
_HAN_TOTAL = re.compile(
    rf"(?<![\w.])(\d{{1,4}}|{_HAN})\s*(?:\u673a|\u8282\u70b9)\s*(\d{{1,4}}|{_HAN})\s*{_CARDS}\s*(.+)$"
)
_HAN_FIRST = re.compile(rf"(?:^|(?<=[,+])\s*|(?<=nodes )|(?<=nodes of ))(\d{{1,4}}|{_HAN})\s*{_CARDS}+\s*(?=\S)")
_HAN_LAST = re.compile(rf"(?<=\S)\s*(\d{{1,2}}|{_HAN})\s*{_CARDS}+(?:$|(?=,)|[\s]+)")
_HAN_WORDS = {
    "\u65e0\u663e\u5361": "no gpu",
    "\u6ca1\u6709\u663e\u5361": "no gpu",
    "\u6ca1\u6709GPU": "no gpu",
    "\u65e0GPU": "no gpu",
    "\u53ea\u6709": "only ",
    "\u6838": " cores ",
    "\u672c\u673a": "this machine",
    "\u8fd9\u53f0\u673a\u5668": "this machine",
    "\u7b14\u8bb0\u672c\u7535\u8111": "laptop ",
    "\u7b14\u8bb0\u672c": "laptop ",
    "\u6e38\u620f\u672c": "laptop ",
    "\u62ef\u6551\u8005": "legion ",
    "\u6697\u5f71\u7cbe\u7075": "omen ",
    "\u5929\u9009": "tuf laptop ",
    "\u5916\u661f\u4eba": "alienware ",
    "\u82f9\u679c": "apple ",
    "\u963f\u91cc\u4e91": "aliyun ",
    "\u817e\u8baf\u4e91": "tencent cloud ",
    "\u534e\u4e3a\u4e91": "huawei cloud ",
    "\u706b\u5c71\u5f15\u64ce": "volcengine ",
    "\u4e9a\u9a6c\u900a": "aws ",
    "\u8c37\u6b4c\u4e91": "gcp ",
    "\u663e\u5b58": " vram",
    "\u5185\u5b58": " ram",
    "\u663e\u5361": "",
}

_OTHER_SCRIPTS = re.compile(r"[\u0370-\u1fff\u3040-\ud7ff\uf900-\ufaff]+")


def plain(text: str) -> str:
    """`text` with the letters that were meant, on one line: "RTX４０９０" -> "RTX4090"."""
    text = unicodedata.normalize("NFKC", text).translate(_LOOKALIKES)
    kept = (letter for letter in text if unicodedata.category(letter) != "Cf")
    text = "".join("-" if unicodedata.category(letter) == "Pd" else letter for letter in kept)
    text = " ".join(text.split()).strip("\"'`\u201c\u201d\u2018\u2019 ")
    return _without_han(_PRODUCT_PLUS.sub(r"\1", text))


def without_unread(words: str) -> tuple[str, tuple[str, ...]]:
    """`words` without those of other scripts that nothing here reads, and these: a name of a shop, "server"."""
    unread = tuple(_OTHER_SCRIPTS.findall(words))
    return (" ".join(_OTHER_SCRIPTS.sub(" ", words).split()), unread) if unread else (words, ())


def has_control_characters(text: str) -> bool:
    """Whether a terminal would do something else with it than show it."""
    return any(unicodedata.category(letter) == "Cc" and letter not in "\t\r\n" for letter in text)


def _without_han(text: str) -> str:
    for word, meaning in _HAN_WORDS.items():
        text = text.replace(word, meaning)
    text = " ".join(_HAN_MACHINES.sub(lambda match: f"{_number(match[1])} nodes ", text).split())
    text = _HAN_TOTAL.sub(_machines_and_cards, text)
    text = _HAN_FIRST.sub(lambda match: f"{_number(match[1])}x ", text)
    text = _HAN_LAST.sub(lambda match: f" x{_number(match[1])}{', ' if match[0].endswith(' ') else ''}", text)
    return " ".join(text.split())


def _machines_and_cards(match: re.Match[str]) -> str:
    """Two machines and 16 cards are eight each; two machines and 8 cards have eight each too, as people count."""
    machines, cards = _number(match[1]), _number(match[2])
    each = cards // machines if cards > 8 and cards % machines == 0 else cards
    return f"{machines} nodes of {each}x {match[3]}"


def _number(text: str) -> int:
    return _HAN_NUMBERS.get(text) or int(text)
