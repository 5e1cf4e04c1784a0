"""Text from files in our sentences: shortened, on one line, and nothing that a terminal obeys.

Whoever wrote a file chose its names and texts. A message quotes enough of them to find the place.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Sequence, Sized
from itertools import islice

QUOTED = 80
"""Most characters of one text from a file in a sentence."""


def shortened(text: str, limit: int = QUOTED) -> str:
    """Return `text` on one line, of at most `limit` characters, an ellipsis where it was cut.

    What cannot be printed (line ends, control characters, lone surrogates, marks that reverse the
    reading direction) is written as Python would escape it.
    """
    cut = text[: limit + 1]
    plain = "".join(sign if sign.isprintable() else _escaped(sign) for sign in cut)
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def quoted(value: object, limit: int = QUOTED) -> str:
    """Return a text from a file in quotation marks, shortened; other plain values as they are.

    Of a list or a dictionary only the kind and the length are told.
    """
    if isinstance(value, str):
        return f"'{shortened(value, limit)}'"
    if value is None or isinstance(value, (bool, float)):
        return str(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**15 else f"a number of {value.bit_length():,} bits"
    kind = type(value).__name__
    return f"a {kind} of {len(value):,}" if isinstance(value, Sized) else f"a {kind}"


def said(error: BaseException, limit: int = 200) -> str:
    """Return the first line of what an error says; its class where it says nothing, or cannot.

    Code that is not ours raises errors of any class, and to print one may fail as well.
    """
    try:
        line = str(error).strip().partition("\n")[0]
    except Exception:
        line = ""
    return shortened(line, limit) or type(error).__name__


def named(error: BaseException, limit: int = 200) -> str:
    """Return an error's class and the first line of what it says: `ValueError: too small`."""
    kind, line = type(error).__name__, said(error, limit)
    return kind if line == kind else f"{kind}: {line}"


def few(names: Collection[str], shown: int = 4, limit: int = QUOTED) -> str:
    """List the first names, each shortened to `limit`, and count the rest."""
    rest = len(names) - shown
    first = ", ".join(shortened(name, limit) for name in islice(names, max(shown, 0)))
    return first + (f" and {rest:,} more" if rest > 0 else "")


def counted(number: int, word: str, words: str = "") -> str:
    """Return a number with its noun: `1 photo`, `2,000 photos`; `words` where it is no mere s."""
    return f"{number:,} {word if number == 1 else words or word + 's'}"


def nearest(names: Sequence[str], wanted: str, count: int = 3) -> list[str]:
    """Return the names that are most like one that is not there; the last ones where none is."""
    return difflib.get_close_matches(wanted, names, n=count, cutoff=0.3) or list(names[-count:])


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape", "backslashreplace").decode("ascii")


def distinct(titles: Sequence[str]) -> list[str]:
    """The same titles, with a number behind those that came before."""
    seen: Counter[str] = Counter()
    found = []
    for title in titles:
        seen[title] += 1
        found.append(title if seen[title] == 1 else f"{title} ({seen[title]})")
    return found
