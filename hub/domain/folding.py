"""Vietnamese text made alike: without case, diacritics and the spelling of its Unicode."""

from __future__ import annotations

import re
import unicodedata

# Letters with a stroke are letters of their own to Unicode, not a letter and a mark. The
# Icelandic eth looks like Đ, and old converters wrote it for one.
_STROKES = str.maketrans({"đ": "d", "ð": "d"})
# Neither ASCII nor in the block of combining diacritical marks, which holds nothing else: no sign
# of Vietnamese, once decomposed.
_FOREIGN = re.compile(r"[^\x00-\x7f\u0300-\u036f]")


def fold(text: str) -> str:
    """Text by which two spellings are compared: `Đề ÁN` and `de an` are the same.

    Case, diacritics, composed or decomposed Unicode, compatibility forms and invisible
    signs make no difference; all other signs and the spaces stay.
    """
    lower = unicodedata.normalize("NFKD", text).casefold().translate(_STROKES)
    if not _FOREIGN.search(lower):
        return lower.encode("ascii", "ignore").decode()
    return "".join(sign for sign in lower if not _is_mark(sign))


def words_of(text: str) -> tuple[str, ...]:
    """The folded words of a text, in order: runs of letters and digits."""
    return tuple("".join(sign if sign.isalnum() else " " for sign in fold(text)).split())


def as_searched(text: str) -> str:
    """The folded words between spaces: a word occurs if it does so between two of them."""
    words = words_of(text)
    return f" {' '.join(words)} " if words else ""


def _is_mark(sign: str) -> bool:
    # A zero-width space does separate words.
    return unicodedata.category(sign) in {"Mn", "Cf"} and sign != "\u200b"
