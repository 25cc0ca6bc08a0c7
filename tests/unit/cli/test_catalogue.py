"""Everything the command says is there in Vietnamese, whole and up to date."""

from __future__ import annotations

import ast
import re
import unicodedata
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import hub.cli
from hub.cli.main import all_below, build, paragraphs, parameters
from hub.cli.messages import Language, _, speak

CLI = Path(hub.cli.__file__).parent
KEYWORDS = {"_": None, "N_": None}


def said_in_code() -> set[str]:
    extracted = extract_from_dir(CLI, keywords=KEYWORDS)
    return {message for _file, _line, message, _comments, _context in extracted}


def said_in_help() -> set[str]:
    """Docstrings and option helps, which are looked up when the command is built."""
    speak(Language.EN)
    texts = [
        text
        for command in all_below(build())
        for text in (command.help, *(getattr(p, "help", None) for p in parameters(command)))
    ]
    return {paragraph for text in texts if text for paragraph in paragraphs(text)}


@pytest.fixture(scope="module")
def catalogue() -> Catalog:
    with (CLI / "locale" / "vi.po").open("rb") as file:
        return read_po(file, locale="vi", abort_invalid=True)


@pytest.fixture(scope="module")
def messages() -> set[str]:
    return said_in_code() | said_in_help()


def test_every_message_is_translated(messages: set[str], catalogue: Catalog):
    missing = {
        message
        for message in messages
        if (entry := catalogue.get(message)) is None or not entry.string or entry.fuzzy
    }
    assert not missing


def test_the_catalogue_says_nothing_that_the_code_does_not(messages: set[str], catalogue: Catalog):
    assert {entry.id for entry in catalogue if entry.id} - messages == set()
    assert not catalogue.obsolete


def test_placeholders_survive_translation(catalogue: Catalog):
    placeholder = re.compile(r"\{\w*\}")
    for entry in catalogue:
        if entry.id:
            assert sorted(placeholder.findall(entry.id)) == sorted(
                placeholder.findall(entry.string)
            ), entry.id


def test_commands_and_options_survive_translation(catalogue: Catalog):
    for entry in catalogue:
        for name in re.findall(r"`[^`{]+`", entry.id or ""):
            assert name in entry.string, entry.id


def test_the_vietnamese_is_composed_as_keyboards_write_it(catalogue: Catalog):
    for entry in catalogue:
        assert unicodedata.is_normalized("NFC", entry.string), entry.id


def test_no_message_hides_where_extraction_does_not_look():
    """Inside an f-string, or put together from pieces, a message would stay English."""
    for path in CLI.glob("*.py"):
        tree = ast.parse(path.read_text())
        inside = {id(node) for outer in ast.walk(tree) if isinstance(outer, ast.JoinedStr)
                  for node in ast.walk(outer)}  # fmt: skip
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                continue
            if call.func.id in KEYWORDS and isinstance(call.args[0], ast.Constant | ast.JoinedStr):
                assert isinstance(call.args[0], ast.Constant), f"{path}:{call.lineno}"
                assert id(call) not in inside, f"{path}:{call.lineno}"


def test_a_message_is_filled_in_after_it_is_translated():
    speak(Language.VI)
    assert _("Error: {sentence}", sentence="{0}") == "Lỗi: {0}"
    speak(Language.EN)
    assert _("Error: {sentence}", sentence="{0}") == "Error: {0}"


def test_help_speaks_vietnamese():
    speak(Language.VI)
    command = build()
    assert isinstance(command.help, str)
    assert command.help.startswith("Trao đổi văn bản ký số")
