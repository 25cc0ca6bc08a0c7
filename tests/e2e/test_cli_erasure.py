"""What two operators type to erase a document, and to let each other in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.proof.evidence import parse_receipt_file
from hub.proof.leaf import parse_leaf
from tests.e2e.test_cli import FINANCE, FINANCE_CODE, SENDER, Site, new_site

FIRST, SECOND = "operator", "operator-2"
BASIS = ("--basis", "Luật 91/2025/QH15, Điều 14")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = new_site(tmp_path / "hub")
    # A kind that is past its time from the first moment on would need a clock of years.
    with (site.folder / "hub.toml").open("a", encoding="utf-8") as settings:
        settings.write('\n[retention]\n"Giấy mời" = 1\n')
    assert site.serve().startswith("lienthong listens on")
    yield site
    assert site.stop().status == 0
    checked = site.type("ledger", "fsck", site.folder)
    assert checked.status == 0, checked.out


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / "letter.pdf"
    path.write_bytes(b"%PDF-1.7")
    return path


def sent(site: Site, letter: Path, subject: str) -> str:
    """Send a document; the digest of its envelope."""
    answer = site.send(letter, "--subject", subject, "--to", FINANCE_CODE)
    assert answer.status == 0, answer.err
    (first, *_) = site.type("sent", "--json", profile=SENDER).json
    assert first["subject"] == subject
    return str(first["envelope_digest"])


def test_two_operators_erase_a_document(site: Site, letter: Path, tmp_path: Path):
    digest = sent(site, letter, "Về việc không còn ai biết")
    receipt = tmp_path / "erased.receipt"

    ordered = site.type(
        "erase", "order", digest, "--reason", "data-subject-request", *BASIS,
        "--note", "theo đơn", "--json", profile=FIRST,
    ).json  # fmt: skip
    (listed,) = site.type("erase", "list", "--open", "--json", profile=SECOND).json
    assert (listed["order"], listed["ordered_by"]) == (ordered["order"], FIRST)
    table = site.type("erase", "list", profile=SECOND, language="vi")
    # In a narrow table, word below word.
    assert {"chờ", "phê", "duyệt"} <= set(table.out.split())

    alone = site.type("erase", "approve", ordered["order"], "--yes", profile=FIRST)
    assert alone.status == 1
    assert "[SECOND_OPERATOR_NEEDED]" in alone.err
    asked = site.type("erase", "approve", ordered["order"], profile=SECOND)
    assert asked.status != 0, "nobody answered the question"
    done = site.type(
        "erase", "approve", ordered["order"], "--yes", "--receipt", receipt, "--json",
        profile=SECOND,
    ).json  # fmt: skip
    assert done[0]["order"] == ordered["order"]

    event = parse_leaf(parse_receipt_file(receipt.read_bytes()).receipt.leaf)
    assert event.topic == "hub.Exchange.PayloadErased"
    assert event.data["envelope_digest"] == digest
    assert site.type("erase", "list", "--open", "--json", profile=FIRST).json == []
    again = site.type("erase", "approve", ordered["order"], "--yes", profile=SECOND)
    assert "[ORDER_UNKNOWN]" in again.err
    repeated = site.type("erase", "order", digest, "--reason", "x", *BASIS, profile=FIRST)
    assert "[PAYLOAD_ERASED]" in repeated.err

    news = site.type("inbox", profile=FINANCE)
    # In a narrow table, word below word.
    assert {"erased", "law,"} <= set(news.out.split())
    assert "không còn ai biết" not in news.out
    assert [each["erased"] for each in site.type("inbox", "--json", profile=FINANCE).json] == [
        True,
        True,
    ]
    fetched = site.type("fetch", "1", "--into", tmp_path / "in", profile=FINANCE)
    assert "[PAYLOAD_ERASED]" in fetched.err
    told = site.type("sent", profile=SENDER, language="vi").out
    assert {"xóa", "luật,"} <= set(told.split())
    assert {"erased", "law,"} <= set(site.type("outbox", profile=SENDER).out.split())


def test_what_is_past_its_time_is_listed_before_it_is_touched(site: Site, letter: Path):
    sent(site, letter, "Còn trong hạn")

    assert site.type("retention", "plan", "--json", profile=FIRST).json == []
    assert "Nothing is past its time." in site.type("retention", "plan", profile=FIRST).out
    assert site.type("retention", "order", *BASIS, "--json", profile=FIRST).json == []
    assert site.type("retention", "approve", "--json", profile=SECOND).json == []


def test_operators_let_in_and_put_out_operators(site: Site, tmp_path: Path):
    from adapters.system import system_clock
    from keys.development_ca import DevelopmentCA

    authority = DevelopmentCA.open(site.folder / "development-ca", system_clock)
    certificate = tmp_path / "third.pem"
    certificate.write_bytes(authority.issue_client("third").certificate_pem)

    enrolled = site.type("operator", "enrol", "operator-3", certificate, profile=SECOND)
    assert enrolled.status == 0, enrolled.err
    listed = site.type("operator", "list", "--json", profile=FIRST).json
    assert [(each["name"], each["line"]) for each in listed] == [
        (FIRST, FIRST),
        (SECOND, SECOND),
        ("operator-3", SECOND),
    ]
    taken = site.type("operator", "enrol", SECOND, certificate, profile=FIRST)
    assert "[OPERATOR_EXISTS]" in taken.err

    revoked = site.type(
        "operator", "revoke", SECOND, "--reason", "left-office", "--json", profile=FIRST
    )
    assert revoked.json["operator"] == SECOND
    out = site.type("operator", "list", profile=SECOND)
    assert "[PRINCIPAL_UNKNOWN]" in out.err
    myself = site.type("operator", "revoke", FIRST, "--reason", "left-office", profile=FIRST)
    assert "[REQUEST_MALFORMED]" in myself.err
