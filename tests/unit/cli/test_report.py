"""The page about a bundle: what it says, and that nothing in the bundle can say more."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hub.cli.messages import Language, speak
from hub.cli.report import Basis, html_report
from hub.proof.checks import Checks
from hub.proof.examination import examine_bundle
from hub.proof.findings import Verdict
from tests.unit.proof.bundles import (
    EXCHANGE,
    SENDER,
    SUBJECT,
    Story,
    bent,
    envelope,
    trust,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "bundles"
BUNDLE, TRUST = GOLDEN / "document.bundle.json", GOLDEN / "trusted_root.json"
BASIS = Basis("x.bundle.json", "ab" * 32, 3, datetime(2026, 11, 22, 5, tzinfo=UTC))


@pytest.fixture(autouse=True)
def english():
    speak(Language.EN)
    yield
    speak(Language.EN)


class Page(HTMLParser):
    """Every tag with its attributes, and the text a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def page_of(data: bytes) -> str:
    return html_report(data, examine_bundle(data, Checks(trust())), basis=BASIS)


def test_it_names_the_document_its_course_and_every_finding():
    data = Story().bundle().format()
    page = Page(page_of(data))
    for words in (
        "Công văn", "125/UBND-VP", SUBJECT, SENDER, "H02, H03", EXCHANGE, "công-văn.pdf",
        "01 arrived", "13 recall asked: nhầm", "16 recall refused: đã xử lý",
        "H03: expired before it was collected", "nobody; the hub observed it",
        "x.bundle.json", "ab" * 32, "This page proves nothing by itself",
    ):  # fmt: skip
        assert words in page.text, words
    for finding in examine_bundle(data, Checks(trust())).items:
        assert finding.text in page.text


def test_it_loads_nothing_and_runs_nothing():
    page = Page(page_of(Story().bundle().format()))
    assert {tag for tag, _ in page.tags} <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "dl", "dt", "dd",
        "table", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    names = {name for _, attributes in page.tags for name in attributes}
    assert names <= {"lang", "charset", "http-equiv", "content", "name", "class"}
    [policy] = [a["content"] for _, a in page.tags if a.get("http-equiv")]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert not re.search(r"url\(|@import|https?:", page_of(Story().bundle().format()))


INVISIBLE = "[\u200b\u202a-\u202e\u2066-\u2069\ufeff\u00ad]"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><h1>ĐÃ CHỨNG MINH</h1>",
    "</td></tr></table><!--",
    "&lt;script&gt;",
    "\u202egnort\u202c \u2066x\u2069",
    "\u200b\ufeff\u00ad",
    "{0} {name} %s",
]


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_of_a_document_are_text_and_nothing_else(words):
    said = envelope()
    said["document"] |= {"subject": words, "notation": words[:50], "type": {"name": words}}
    name = re.sub(r'[/\\:*?"<>|]', "_", words).strip(" .")
    said["document"]["attachments"][0]["name"] = name
    data = Story(said=said, reason=words).bundle().format()
    assert examine_bundle(data, Checks(trust())).verdict is not Verdict.REFUTED
    page = page_of(data)
    ordinary = Page(page_of(Story().bundle().format()))
    assert {tag for tag, _ in Page(page).tags} <= {tag for tag, _ in ordinary.tags}
    assert not re.search(INVISIBLE, page)
    shown = "".join(
        "\ufffd" if sign in "\u202e\u202c\u2066\u2069\u200b\ufeff\u00ad" else sign for sign in words
    )
    assert shown in Page(page).text


def test_of_a_refuted_bundle_only_the_findings_are_shown():
    data = bent(Story().bundle(), lambda d: d["facts"][0]["statement"].update(signature="AAAA"))
    page = Page(page_of(data))
    assert "REFUTED" in page.text
    assert "125/UBND-VP" not in page.text
    assert SUBJECT not in page.text


def test_a_file_that_is_no_bundle_still_makes_a_page():
    assert "REFUTED" in Page(page_of(b"<script>junk")).text


def test_without_the_envelope_it_says_so():
    bundle = Story().bundle()
    facts = (replace(bundle.facts[0], statement=None), *bundle.facts[1:])
    page = Page(page_of(replace(bundle, facts=facts).format()))
    assert "does not hold the envelope" in page.text
    assert "not in this file: withheld or erased" in page.text


def test_the_command_writes_it_in_the_readers_language(command, tmp_path):
    out = tmp_path / "page.html"
    arguments = ["evidence", "report", BUNDLE, "--trust", TRUST, "--out", out]
    ended = command("--lang", "vi", *arguments)
    assert ended.status == 2
    assert "có bước chưa kiểm tra" in ended.out
    assert 'lang="vi"' in out.read_text()
    assert "Báo cáo về chứng cứ" in out.read_text()
    assert command("--lang", "en", *arguments, "--json").status == 2
    assert "Report on evidence" in out.read_text()


def test_its_status_is_that_of_verify(command, tmp_path):
    out = tmp_path / "page.html"
    junk = tmp_path / "junk.bundle.json"
    junk.write_bytes(b"junk")
    arguments = ["evidence", "report", junk, "--trust", TRUST, "--out", out]
    assert command(*arguments).status == 1
    missing = command("evidence", "report", tmp_path / "none", "--trust", TRUST, "--out", out)
    assert missing.status == 1
    assert "cannot be read" in missing.err
    nowhere = command("evidence", "report", BUNDLE, "--trust", TRUST, "--out", "/nowhere/x.html")
    assert "the folder for the page is not there" in nowhere.err


def test_commands_that_only_verify_load_no_validator():
    """Building chains takes libraries that no other command needs to wait for."""
    code = (
        "import sys, hub.cli.main as it; it.build(); print('pyhanko_certvalidator' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
