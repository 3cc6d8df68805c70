"""A small general set: what any instruction-tuned model knows, whatever it is tuned for.

Base against tuned on it shows what a tune has cost. Sums, opposites, plurals, capitals, order of days and months:
short questions with one answer each, made here.
"""

from __future__ import annotations

from itertools import pairwise

CAPITALS = {
    "France": "Paris", "Japan": "Tokyo", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin", "China": "Beijing",
    "Egypt": "Cairo", "Canada": "Ottawa", "Russia": "Moscow", "Greece": "Athens",
}  # fmt: skip
OPPOSITES = {
    "hot": "cold", "big": "small", "up": "down", "early": "late", "open": "closed", "light": "dark", "fast": "slow",
    "full": "empty", "wet": "dry", "left": "right",
}  # fmt: skip
PLURALS = {
    "child": "children", "mouse": "mice", "foot": "feet", "city": "cities", "knife": "knives", "box": "boxes",
    "tooth": "teeth", "woman": "women", "leaf": "leaves", "baby": "babies",
}  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August")
SUMS = ((2, 3), (7, 5), (10, 4), (6, 6), (9, 8), (20, 30), (15, 5), (12, 11), (40, 2), (3, 4))


def general_questions() -> list[tuple[str, str]]:
    """(question, answer) of the whole set, always the same."""
    found = [(f"What is the capital of {country}?", f"{city}.") for country, city in CAPITALS.items()]
    found += [(f"What is the opposite of {word}?", f"{other}.") for word, other in OPPOSITES.items()]
    found += [(f"What is the plural of {word}?", f"{many}.") for word, many in PLURALS.items()]
    found += [(f"Which day comes after {day}?", f"{DAYS[(place + 1) % 7]}.") for place, day in enumerate(DAYS)]
    found += [(f"Which month comes after {month}?", f"{after}.") for month, after in pairwise(MONTHS)]
    found += [(f"What is {first} plus {second}?", f"{first + second}.") for first, second in SUMS]
    return found
