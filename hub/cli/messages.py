"""What the command says, in English or in Vietnamese.

English stands in the code; the Vietnamese lies in `locale/vi.po` and is compiled in memory
when it is needed. A test compares the two.
"""

from __future__ import annotations

import gettext
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from io import BytesIO


class Language(StrEnum):
    """A language the command speaks."""

    VI = "vi"
    EN = "en"


# One process runs one command for one person: the language is theirs, set once by `main`.
_current: gettext.NullTranslations = gettext.NullTranslations()


def language_of(environment: Mapping[str, str]) -> Language:
    """The language an environment asks for: LIENTHONG_LANG, else the locale, else English."""
    for name in ("LIENTHONG_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environment.get(name):
            return Language.VI if value.lower().startswith("vi") else Language.EN
    return Language.EN


def speak(language: Language) -> None:
    """Say everything from here on in this language."""
    global _current  # noqa: PLW0603
    _current = vietnamese() if language is Language.VI else gettext.NullTranslations()


def language() -> Language:
    """The language that is spoken."""
    return Language.VI if isinstance(_current, gettext.GNUTranslations) else Language.EN


def _(message: str, /, **values: object) -> str:
    """The message in the language that is spoken, with its `{placeholders}` filled in."""
    translated = _current.gettext(message) if message else ""
    return translated.format(**values) if values else translated


def N_(message: str) -> str:
    """Mark a message that is looked up later; the name is gettext's."""
    return message


@cache
def vietnamese() -> gettext.GNUTranslations:
    """The Vietnamese catalogue."""
    # Babel is loaded only for those who need it.
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    compiled = BytesIO()
    with (files("hub.cli") / "locale" / "vi.po").open("rb") as source:
        write_mo(compiled, read_po(source, locale="vi"))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
