"""What a clerk types to find a document, and an operator to keep the calendar."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.proof.evidence import parse_receipt_file
from tests.e2e.test_cli import FINANCE, FINANCE_CODE, HEALTH, HEALTH_CODE, SENDER, Site, new_site

OPERATOR = "operator"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = new_site(tmp_path_factory.mktemp("site") / "hub")
    assert site.serve().startswith("lienthong listens on")
    letter = tmp_path_factory.mktemp("files") / "letter.pdf"
    letter.write_bytes(b"%PDF-1.7")
    for subject, recipients in (
        ("Về việc phê duyệt Đề án", [FINANCE_CODE, HEALTH_CODE]),
        ("Báo cáo quý IV", [FINANCE_CODE]),
    ):
        to = [word for code in recipients for word in ("--to", code)]
        sent = site.send(letter, "--subject", subject, "--due-on", "31/12/2099", *to)
        assert sent.status == 0, sent.err
    yield site
    assert site.stop().status == 0
    checked = site.type("ledger", "fsck", site.folder)
    assert checked.status == 0, checked.out


def subjects(site: Site, *options: str, command: str = "received", who: str = FINANCE) -> list[str]:
    found = site.type(command, *options, "--json", profile=who).json
    return [document["subject"] for document in found]


def test_a_clerk_finds_what_came_in(site: Site):
    both = ["Báo cáo quý IV", "Về việc phê duyệt Đề án"]
    assert subjects(site) == both
    assert subjects(site, "--subject", "DE AN") == both[1:]
    assert subjects(site, "--subject", "quý", "--type", "cong van") == both[:1]
    assert subjects(site, "--state", "consigned", "--state", "arrived") == both
    assert subjects(site, "--state", "finished") == []
    assert subjects(site, "--sender", HEALTH_CODE) == []
    assert subjects(site, "--code", "125/ubnd", "--priority", "normal") == both
    assert subjects(site, "--accepted-from", "2020-01-01", "--accepted-to", "2020-12-31") == []
    assert subjects(site, "--accepted-from", "2020-01-01", "--not-recalled") == both
    assert subjects(site, "--issued-to", "2020-01-01") == []
    assert subjects(site, "--overdue") == []
    assert subjects(site, "--replaced") == []
    assert subjects(site, "--limit", "1") == both[:1]
    assert subjects(site, who=HEALTH) == both[1:]


def test_a_clerk_finds_what_was_sent(site: Site):
    both = ["Báo cáo quý IV", "Về việc phê duyệt Đề án"]
    assert subjects(site, command="sent", who=SENDER) == both
    to_health = ("--recipient", HEALTH_CODE)
    assert subjects(site, *to_health, command="sent", who=SENDER) == both[1:]
    assert subjects(site, command="sent", who=HEALTH) == []
    newest, older = site.type("sent", "--json", profile=SENDER).json
    assert [tally["count"] for tally in older["deliveries"]] == [2]
    assert (newest["due_on"], newest["late"]) == ("2099-12-31", [])


def test_a_list_is_read_by_people(site: Site):
    shown = site.type("received", "--limit", "1", profile=FINANCE)
    assert shown.status == 0
    assert "Báo cáo" in shown.out
    assert "Only the newest 1 are shown" in shown.err
    assert (
        "Không có văn bản nào"
        in site.type("received", "--overdue", profile=FINANCE, language="vi").out
    )
    assert "2: not collected" in site.type("sent", profile=SENDER).out


def test_a_filter_that_cannot_be_is_explained(site: Site):
    refused = site.type("received", "--subject", "???", profile=FINANCE)
    assert (refused.status, "REQUEST_MALFORMED" in refused.err) == (1, True)
    assert site.type("received", "--accepted-from", "2026", profile=FINANCE).status == 2
    assert site.type("received", "--state", "lost", profile=FINANCE).status == 2


def test_an_operator_keeps_the_calendar(site: Site, tmp_path: Path):
    assert "No day was corrected" in site.type("calendar", "list", profile=OPERATOR).out
    receipt = tmp_path / "receipt.json"
    swapped = ("calendar", "set", "2026-01-10", "--working", "--basis", "QĐ 123/QĐ-TTg")

    done = site.type(*swapped, "--receipt", receipt, "--json", profile=OPERATOR).json
    again = site.type(*swapped, "--request-id", done["request_id"], "--json", profile=OPERATOR)
    off = ("calendar", "set", "2026-01-02", "--off", "--basis", "QĐ 123/QĐ-TTg")
    assert "2026-01-02" in site.type(*off, profile=OPERATOR).out

    assert again.json["position"] == done["position"]
    assert parse_receipt_file(receipt.read_bytes())
    listed = site.type("calendar", "list", "--json", profile=OPERATOR).json
    assert [(each["day"], each["working"]) for each in listed] == [
        ("2026-01-02", False),
        ("2026-01-10", True),
    ]
    table = site.type("calendar", "list", profile=OPERATOR, language="vi").out
    assert "ngày làm việc" in table
    assert "ngày nghỉ" in table


def test_an_agency_keeps_no_calendar(site: Site):
    refused = site.type(
        "calendar", "set", "2026-01-10", "--working", "--basis", "QĐ", profile=FINANCE
    )
    assert refused.status == 1
    assert "ROLE_NOT_PERMITTED" in refused.err


def test_a_successor_works_through_the_boxes_it_took_over(tmp_path: Path):
    """Types every command that has `--of`, as whoever took over Sở Tài chính."""
    site = new_site(tmp_path / "hub")
    site.serve()
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(b"%PDF-1.7")
    first, second = (
        site.send(letter, "--subject", subject, "--to", FINANCE_CODE, "--json").json["exchange"]
        for subject in ("Báo cáo quý III", "Báo cáo quý IV")
    )
    back = site.send(letter, "--subject", "Trả lời", "--to", HEALTH_CODE, "--json", who=FINANCE)
    taken_over = site.type("agency", "succeed", FINANCE_CODE, HEALTH_CODE, profile=OPERATOR)
    assert taken_over.status == 0, taken_over.err
    of = ("--of", FINANCE_CODE)

    def typed(*arguments: object, who: str = HEALTH):
        return site.type(*arguments, "--json", profile=who).json

    assert [item["exchange"] for item in typed("inbox", *of)] == [first, second]
    assert [item["exchange"] for item in typed("received", *of)] == [second, first]
    assert [item["exchange"] for item in typed("sent", *of)] == [back.json["exchange"]]
    fetched = typed("fetch", "1", "--into", tmp_path / "in", *of)
    assert fetched["exchange"] == first
    assert typed("status", "1", "03", *of)["exchange"] == first
    (delivery,) = typed("status", "1", *of)["deliveries"]
    assert (delivery["recipient"], delivery["state"]) == (FINANCE_CODE, "accepted")
    recall = typed("recall", second, "--reason", "Nhầm", who=SENDER)
    assert typed("answer", "2", "agree", *of)["code"] == "15"
    kept = typed(
        "evidence", "statement", recall["position"], "--out", tmp_path / "recall.json", *of
    )
    assert kept["code"] == "13"
    assert typed("outbox", *of) == []
    stranger = site.type("inbox", "--of", FINANCE_CODE, profile=SENDER)
    assert (stranger.status, "AGENCY_UNKNOWN" in stranger.err) == (1, True)
    assert site.stop().status == 0
