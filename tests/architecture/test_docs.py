"""The documents say everything there is to say, and nothing that is not there."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from hub.application.mapper import read_leaf
from hub.cli.errors import PROCEDURES
from hub.config import Settings
from hub.domain.catalogue import EVENTS
from hub.errors import Procedure, hub_errors
from hub.server.errors import STATUS_OF

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
READMES = [ROOT / "README.md", ROOT / "README.vi.md"]
PAGES = [*READMES, *sorted(DOCS.glob("*.md"))]
LIBRARYS_OWN = {"originator_id", "originator_version", "timestamp", "originator_topic"}

# What stands below this heading is planned, and need not exist.
PLANNED = re.compile(r"^## (?:Not yet|Chưa có)$.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINE_CHARS_MAX = 130
# A row of a table cannot be broken; a browser wraps its cells.
ROW_CHARS_MAX = 280


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of every table, headings left out."""
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        for line in block.splitlines()[2:]:
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def code(cell: str) -> str:
    """What stands in backticks, if that is all the cell holds."""
    match = re.fullmatch(r"`([^`]+)`", cell.strip())
    return match[1] if match else ""


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next of its rank or a higher one."""
    level = heading.split(" ", maxsplit=1)[0]
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, heading
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def shell_blocks(page: Path) -> list[str]:
    return [body for language, body in FENCED.findall(text_of(page)) if language == "sh"]


# --- Everything is documented, and nothing else ------------------------------------------


def test_every_reason_has_a_row_with_its_status():
    documented = {
        code(row[0]): code(row[1])
        for row in rows(text_of(DOCS / "errors.md"))
        if len(row) == 5 and code(row[0])
    }
    assert documented == {reason: STATUS_OF[error].name for reason, error in hub_errors().items()}


def test_every_reason_says_whether_to_send_it_again():
    words = {"same bytes", "later", "mend", "no"}
    again = {row[0]: row[4] for row in rows(text_of(DOCS / "errors.md")) if len(row) == 5}
    assert {reason: word for reason, word in again.items() if word not in words} == {}


def test_what_is_sent_again_is_what_the_sdk_sends_again():
    from hub.client.errors import REPEATABLE

    again = {
        code(row[0])
        for row in rows(text_of(DOCS / "errors.md"))
        if len(row) == 5 and row[4] == "same bytes"
    }
    assert again == {error.reason for error in REPEATABLE}


def test_the_reasons_that_are_recorded_are_named():
    from hub.application.refusals import RECORDED_REASONS, REFUSALS_PER_MINUTE_MAX

    text = section(text_of(DOCS / "errors.md"), "## What a refusal leaves behind")
    assert set(re.findall(r"`([A-Z_]+)`", text)) == RECORDED_REASONS
    assert REFUSALS_PER_MINUTE_MAX == 10
    assert "ten a minute" in text


def test_every_setting_has_a_row_with_its_variable_and_default():
    documented = {
        code(row[0]): (code(row[1]), code(row[2]))
        for row in rows(text_of(DOCS / "configuration.md"))
        if len(row) == 4
    }
    assert documented == {
        name: (f"LIENTHONG_{name.upper()}", "" if field.is_required() else str(field.default))
        for name, field in Settings.model_fields.items()
    }


def event_sections() -> dict[str, str]:
    text = text_of(DOCS / "events.md")
    topics = re.findall(r"^### `([^`]+)`$", text, re.MULTILINE)
    return {topic: section(text, f"### `{topic}`") for topic in topics}


def test_every_event_has_a_heading():
    assert set(event_sections()) == set(EVENTS)


@pytest.mark.parametrize("topic", EVENTS)
def test_every_field_of_an_event_has_a_row(topic: str):
    documented = [code(row[0]) for row in rows(event_sections()[topic])]
    declared = {field.name for field in fields(EVENTS[topic])} - LIBRARYS_OWN
    assert len(documented) == len(set(documented))
    assert set(documented) == declared


@pytest.mark.parametrize("topic", EVENTS)
def test_the_example_of_an_event_is_a_leaf_of_it(topic: str):
    [(_, body)] = [block for block in FENCED.findall(event_sections()[topic]) if block[0] == "json"]
    leaf = json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    assert read_leaf(leaf.encode()).topic == topic


def commands() -> set[str]:
    """Every command a person can type, from the command itself."""
    from hub.cli.main import build

    def below(command: Any, name: str) -> Iterator[str]:
        children = getattr(command, "commands", {})
        if not children:
            yield name
        for child_name, child in children.items():
            yield from below(child, f"{name} {child_name}")

    return set(below(build(), "lienthong"))


def test_every_command_has_a_row():
    text = section(text_of(DOCS / "operations.md"), "## Commands")
    documented = [code(row[0]) for row in rows(text)]
    assert sorted(documented) == sorted(commands())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_command_that_does_not_exist(page: Path):
    text = PLANNED.sub("", text_of(page))
    named = set(re.findall(r"lienthong((?: [a-z][a-z-]*){1,2})", code_of(text)))
    nouns = {"agency", "agency group", "audit", "ledger", "signer link"}
    known = commands() | {f"lienthong {noun}" for noun in nouns}
    # Of two words the second may be the first argument.
    unknown = {
        words
        for words in named
        if f"lienthong{words}" not in known and f"lienthong {words.split()[0]}" not in known
    }
    assert unknown == set()
    groups = {command.split()[1] for command in commands() if len(command.split()) == 3}
    wrong = {
        words for words in named if words.split()[0] in groups and f"lienthong{words}" not in known
    }
    assert wrong == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_make_target_that_does_not_exist(page: Path):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", code_of(text_of(page)), re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_of_a_command_exists(page: Path):
    from hub.cli.main import build

    for line in " \n".join(shell_blocks(page)).replace("\\\n", " ").splitlines():
        words = line.split("#")[0].split()
        if not words or words[0] != "lienthong":
            continue
        command: Any = build()
        for word in words[1:]:
            command = getattr(command, "commands", {}).get(word, command)
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def code_of(text: str) -> str:
    """All code of a page, each piece on lines of its own, and in backticks where it was."""
    fenced = [body for _, body in FENCED.findall(text)]
    spans = [f"`{span}`" for span in re.findall(r"`([^`\n]+)`", FENCED.sub("", text))]
    return "\n".join([*fenced, *spans])


# --- The refusals to start ---------------------------------------------------------------


def start_refusals() -> set[str]:
    """What the checks at the start can say, with … for what is filled in."""
    found: set[str] = set()
    for path in ("hub/ledger/sequencer.py", "hub/application/registry.py"):
        tree = ast.parse(text_of(ROOT / path))
        constants = {
            node.targets[0].id: str(node.value.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "LedgerMismatch":
                found.add(sentence_of(node.args[0], constants))
    return found


def sentence_of(node: ast.expr, constants: Mapping[str, str]) -> str:
    match node:
        case ast.Constant(value=value):
            return str(value)
        case ast.FormattedValue(value=ast.Name(id=name)):
            return constants.get(name, "…")
        case ast.FormattedValue():
            return "…"
        case ast.JoinedStr(values=values):
            return "".join(sentence_of(value, constants) for value in values)
    raise AssertionError(ast.dump(node))


def test_every_refusal_to_start_is_explained():
    text = section(text_of(DOCS / "operations.md"), "## When it does not start")
    explained = {row[0] for row in rows(text) if not code(row[0])}
    said = start_refusals()
    assert {one for one in said if not any(one.startswith(each) for each in explained)} == set()
    assert {each for each in explained if not any(one.startswith(each) for one in said)} == set()


def test_every_procedure_has_a_heading_that_the_command_names():
    text = section(text_of(DOCS / "operations.md"), "## Procedures")
    documented = dict(re.findall(r"^### (R\d) (.*)$", text, re.MULTILINE))
    named = {each.value: f"{words[0].upper()}{words[1:]}" for each, words in PROCEDURES.items()}
    assert documented == named
    assert set(PROCEDURES) == set(Procedure)


def test_every_refusal_to_start_leads_to_a_procedure():
    text = section(
        text_of(DOCS / "operations.md"), "### The log contradicts itself: `LEDGER_MISMATCH`"
    )
    assert {row[2] for row in rows(text)} <= set(Procedure)


# --- Links, paths, lines -----------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", text_of(page))):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


def anchors(page: Path) -> set[str]:
    """The anchors that a renderer makes of headings."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# Paths of this repository; other paths in backticks lie in a hub's data folder.
OURS = re.compile(
    r"`((?:hub|adapters|keys|protos|tests|docs|requirements)/[\w./*-]*?)(?:::(\w+))?`"
)
IN_A_DATA_FOLDER = {"hub/clients", "hub/trusted_root.json", "keys/content-key", "keys/identity.age"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_and_every_test_in_backticks_exists(page: Path):
    for path, test in OURS.findall(PLANNED.sub("", text_of(page))):
        if path in IN_A_DATA_FOLDER:
            continue
        assert (ROOT / path).exists(), path
        if test:
            assert re.search(rf"def {test}\(", text_of(ROOT / path)), f"{path}::{test}"


def test_every_path_of_a_data_folder_is_one(tmp_path: Path):
    from hub.bootstrap.folder import DataFolder

    folder = DataFolder(tmp_path)
    properties = [name for name, value in vars(DataFolder).items() if isinstance(value, property)]
    known = {getattr(folder, name).relative_to(tmp_path).as_posix() for name in properties}
    text = section(text_of(DOCS / "configuration.md"), "## The data folder")
    documented = {
        path.strip("/") for row in rows(text) for path in re.findall(r"`([^`]+)`", row[0])
    }
    assert documented - known == {"lock", "hub.db-wal", "hub.db-shm"}
    assert known - documented == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_line_is_too_long_to_read(page: Path):
    for number, line in enumerate(text_of(page).splitlines(), start=1):
        limit = ROW_CHARS_MAX if line.startswith("|") else LINE_CHARS_MAX
        assert len(line) <= limit, f"{page.name}:{number} has {len(line)} characters"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_row_of_a_table_has_as_many_cells_as_its_heading(page: Path):
    for block in re.findall(r"(?:^\|.*\|\n)+", text_of(page), re.MULTILINE):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(counts) == 1, block.splitlines()[0]


def test_both_readmes_show_the_same_commands():
    def without_comments(page: Path) -> list[str]:
        return [re.sub(r"\s+#.*", "", block) for block in shell_blocks(page)]

    english, vietnamese = READMES
    assert without_comments(english) == without_comments(vietnamese)


# --- What the verification page shows ----------------------------------------------------


def test_the_commands_that_check_a_receipt_by_hand_do(tmp_path: Path):
    for sample in (ROOT / "tests" / "golden" / "receipts").iterdir():
        (tmp_path / sample.name).write_bytes(sample.read_bytes())
    tool, *by_hand = shell_blocks(DOCS / "verification.md")
    assert run(tool.replace("python ", f"{sys.executable} ", 1), ROOT, tmp_path).returncode == 2

    result = run("\n".join(by_hand), ROOT, tmp_path)

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-5:] == [
        "the leaf is in the tree",
        "Signature Verified Successfully",
        "the event records this payload",
        "Signature Verified Successfully",
        "this certificate was enrolled",
    ]


@pytest.mark.parametrize("changed", ["leaf", "proof"])
def test_by_hand_a_changed_receipt_is_noticed(tmp_path: Path, changed: str):
    for sample in (ROOT / "tests" / "golden" / "receipts").iterdir():
        (tmp_path / sample.name).write_bytes(sample.read_bytes())
    _, apart, walk, *_ = shell_blocks(DOCS / "verification.md")
    spoil = {
        "leaf": "sed -i 's/01:30:05/01:30:06/' leaf\n",
        "proof": "sed -i 's/^MLpD/MLpE/' proof\n",
    }[changed]

    result = run(apart + spoil + walk, ROOT, tmp_path)

    assert result.returncode != 0
    assert "the leaf is in the tree" not in result.stdout


def run(script: str, root: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f"set -eu\n{script}"],
        cwd=folder,
        env={"PATH": f"{Path(sys.prefix) / 'bin'}:/usr/bin:/bin", "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
