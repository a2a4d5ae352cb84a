"""The word that was meant: the nearest of those that exist, and a list of them that stays short.

Files may name thousands of things, and a comparison of each with each would take minutes; so
long lists are first cut down to words that begin alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from difflib import get_close_matches

MAX_WORD = 80
MAX_CANDIDATES = 100
MAX_SHOWN = 12


def nearest(word: str, words: Collection[str], cutoff: float = 0.6) -> str:
    """Return the word that is most like ``word``, empty when none is; a fixed amount of work."""
    if not word or len(word) > MAX_WORD:
        return ""
    candidates: Iterable[str] = words
    if len(words) > MAX_CANDIDATES:
        alike = (each for each in words if each[:1] == word[:1] and abs(len(each) - len(word)) <= 2)
        candidates = itertools.islice(alike, MAX_CANDIDATES)
    found = get_close_matches(word, list(candidates), n=1, cutoff=cutoff)
    return found[0] if found else ""


def listed(words: Iterable[str], most: int = MAX_SHOWN) -> str:
    """Return words in alphabetical order, ``a, b, c``; of many the first and how many more."""
    ordered = sorted(words)
    shown = ", ".join(ordered[:most])
    return f"{shown} and {len(ordered) - most} more" if len(ordered) > most else shown


def words(values: Iterable[str], most: int = MAX_SHOWN) -> str:
    """Return values as Istio's messages print a list, ``a b c``; of many the first and how many more."""
    found = list(values)
    shown = " ".join(found[:most])
    return f"{shown} and {len(found) - most} more" if len(found) > most else shown
