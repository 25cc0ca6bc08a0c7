"""What an auditor types: replay, a document's story for a case, states, figures, a rebuild."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.system import system_clock
from hub.proof.evidence import parse_receipt_file
from hub.proof.leaf import parse_leaf
from hub.proof.merkle import leaf_hash, root_of
from hub.proof.trust import parse_trusted_root
from keys.development_ca import DevelopmentCA
from tests.e2e.test_cli import FINANCE, FINANCE_CODE, HEALTH_CODE, SENDER, Site, new_site

AUDITOR, CASE, SUBJECT = "thanh-tra-1", "15/KL-TTTP", "V/v thanh tra công vụ"
CONTENT = b"%PDF-1.7 a letter"


@dataclass
class Audited:
    """A hub with one document that was fetched and finished, and its auditor."""

    site: Site
    exchange: str

    def type(self, *arguments: object, language: str = "", who: str = AUDITOR) -> Any:
        return self.site.type(*arguments, profile=who, language=language)

    def events(self, *options: object) -> list[dict[str, Any]]:
        ended = self.type("audit", "events", *options, "--json")
        assert ended.status == 0, ended.err
        return [json.loads(line) for line in ended.out.splitlines()]


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    site = new_site(tmp_path_factory.mktemp("site") / "hub")
    assert site.serve().startswith("lienthong listens on")
    enrol(site, AUDITOR)
    files = tmp_path_factory.mktemp("files")
    (files / "letter.pdf").write_bytes(CONTENT)
    to = ["--to", FINANCE_CODE, "--to", HEALTH_CODE]
    sent = site.send(files / "letter.pdf", *to, "--subject", SUBJECT, "--json").json
    fetched = site.type("fetch", "1", "--into", files / "in", profile=FINANCE)
    assert fetched.status == 0, fetched.err
    assert site.type("status", "1", "06", profile=FINANCE).status == 0
    yield Audited(site, sent["exchange"])
    if site.process is not None:
        assert site.stop().status == 0
    checked = site.type("ledger", "fsck", site.folder)
    assert checked.status == 0, checked.out


def enrol(site: Site, name: str) -> None:
    """A certificate from the development authority, a profile, and the operator's command."""
    issued = DevelopmentCA.open(site.folder / "development-ca", system_clock).issue_client(name)
    home, operator = site.folder / "clients" / name, site.folder / "clients" / "operator"
    home.mkdir()
    (home / "transport.pem").write_bytes(issued.certificate_pem)
    (home / "transport.key.pem").write_bytes(issued.private_key_pem)
    for file in ("ca.pem", "trusted_root.json", "profile.toml"):
        (home / file).write_bytes((operator / file).read_bytes())
    typed = ("auditor", "enrol", name, home / "transport.pem", "--json")
    made = site.type(*typed, profile="operator").json
    assert (made["auditor"], made["position"]) == (name, 14)


# --- Events -----------------------------------------------------------------------------


def test_all_events_lead_to_the_signed_root(audited: Audited):
    *events, last = audited.events()
    proof = last["verified"]

    assert [event["position"] for event in events] == list(range(proof["to"]))
    assert (proof["from"], proof["complete"], proof["checkpoint"]) == (0, True, len(events))
    # The leaves are printed exactly: whoever hashes them gets the root that the hub signed.
    root = root_of([leaf_hash(event["leaf"].encode()) for event in events])
    trust = parse_trusted_root((audited.site.folder / "trusted_root.json").read_bytes())
    with closing(sqlite3.connect(audited.site.folder / "hub.db")) as database:
        [(note,)] = database.execute("SELECT note FROM checkpoints WHERE size = ?", (len(events),))
    assert trust.open_checkpoint(note).checkpoint.root == root


@pytest.mark.parametrize("complete", [(), ("--complete",)])
def test_events_are_filtered_here_or_there_alike(audited: Audited, complete: tuple[str, ...]):
    def topics(*options: object) -> list[str]:
        *events, last = audited.events(*options, *complete)
        assert last["verified"]["complete"] is bool(complete)
        return [parse_leaf(event["leaf"].encode()).topic.split(".")[2] for event in events]

    assert topics("--kind", "hub.Delivery.StatusReported") == ["StatusReported"] * 2
    assert topics("--agency", HEALTH_CODE)[-1] == "DocumentSubmitted"
    assert topics("--document", audited.exchange)[:4] == [
        "DocumentSubmitted", "DocumentHandedOver", "StatusReported", "StatusReported",
    ]  # fmt: skip


def test_events_of_a_range_and_of_a_time(audited: Audited):
    assert [event["position"] for event in audited.events("--from", 3, "--to", 6)[:-1]] == [3, 4, 5]
    assert audited.events("--until", "2020-01-01") == [
        {"verified": {"from": 0, "to": 0, "events": 0, "complete": True, "checkpoint": 19}}
    ]
    everything = audited.events("--since", "2020-01-01T10:30")
    assert everything[-1]["verified"]["from"] == 0


def test_for_a_person_events_are_lines_and_the_verdict_stands_beside_them(audited: Audited):
    ended = audited.type("audit", "events", "--from", "14", "--to", "16", language="vi")

    assert ended.status == 0
    assert [line.split()[0] for line in ended.out.splitlines()] == ["14", "15"]
    assert "hub.Exchange.DocumentSubmitted" in ended.out
    assert "Đã kiểm chứng" in ended.err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--kind", "hub.Log.Nonsense"], "REQUEST_MALFORMED"),
        (["--from", "1000"], "POSITION_UNKNOWN"),
        (["--from", "5", "--to", "3"], "REQUEST_MALFORMED"),
        (["--agency", "'; DROP TABLE events"], "REQUEST_MALFORMED"),
        (["--document", "01a201a2-305f-7438-8d14-29b9ee58373b"], "EXCHANGE_UNKNOWN"),
    ],
)
def test_what_cannot_be_replayed_is_refused(audited: Audited, options: list[str], reason: str):
    ended = audited.type("audit", "events", *options)
    assert ended.status == 1
    assert f"[{reason}]" in ended.err


@pytest.mark.parametrize("who", [SENDER, "operator"])
def test_nobody_but_an_auditor_replays(audited: Audited, who: str):
    ended = audited.type("audit", "events", who=who)
    assert ended.status == 1
    assert "[ROLE_NOT_PERMITTED]" in ended.err


# --- A document -------------------------------------------------------------------------


def test_without_a_case_a_story_has_no_words(audited: Audited):
    before = len(audited.events())
    told = audited.type("audit", "document", audited.exchange)

    assert told.status == 0
    assert SUBJECT not in told.out
    assert "H29.1.1 signed the envelope and sent it to H29.2.7, H29.2.9" in told.out
    assert "H29.2.7 signed the status 06 finished." in told.out
    assert "Observed by the hub alone: the time, the position" in told.out
    assert len(audited.events()) == before, "public facts are shown without a record"


def test_for_a_case_the_subject_is_shown_and_the_record_is_part_of_the_story(audited: Audited):
    told = audited.type("audit", "document", audited.exchange, "--case", CASE, "--json").json

    submitted, *_others, read = told["events"]
    assert submitted["words"]["subject"] == SUBJECT
    assert submitted["signed"]["verified"] is True
    assert (read["topic"], read["facts"]["case"]) == ("hub.Log.AuditAccessMade", CASE)
    assert (read["facts"]["by"], read["facts"]["read"]) == (AUDITOR, "statements")
    assert read["observed"] == ["event", "time", "position"]
    assert read["signed"] is None


def test_the_same_request_is_one_access(audited: Audited):
    request = "6f2a5c1e-0000-4000-8000-0000000000aa"
    typed = ("audit", "document", audited.exchange, "--case", CASE, "--request-id", request)
    assert audited.type(*typed).status == 0
    before = len(audited.events())
    assert audited.type(*typed).status == 0
    assert len(audited.events()) == before
    other = audited.type(*typed[:3], "--case", "99/KL", *typed[5:])
    assert "[REQUEST_ID_REUSED]" in other.err


def test_an_export_needs_a_case_and_leaves_nothing_without(audited: Audited, tmp_path: Path):
    ended = audited.type("audit", "document", audited.exchange, "--export", tmp_path / "out")
    assert ended.status == 1
    assert "[CASE_REFERENCE_MISSING]" in ended.err
    assert not (tmp_path / "out").exists()


def test_an_export_holds_receipts_and_content(audited: Audited, tmp_path: Path):
    folder = tmp_path / "out"
    ended = audited.type(
        "audit", "document", audited.exchange, "--case", CASE, "--export", folder
    )  # fmt: skip
    assert ended.status == 0, ended.err
    [content] = (folder / "attachments").iterdir()
    assert (content.name, content.read_bytes()) == ("0 letter.pdf", CONTENT)
    receipts = sorted((folder / "statements").iterdir())
    topics = {
        parse_leaf(parse_receipt_file(path.read_bytes()).receipt.leaf).topic for path in receipts
    }
    assert topics == {
        "hub.Exchange.DocumentSubmitted",
        "hub.Delivery.DocumentHandedOver",
        "hub.Delivery.StatusReported",
        "hub.Log.AuditExportMade",
    }
    trust = audited.site.folder / "trusted_root.json"
    # 2: the chain of the signing certificates is not checked yet; nothing is refuted.
    assert audited.site.type("verify", "--trust", trust, folder / "statements").status == 2
    again = audited.type("audit", "document", audited.exchange, "--case", CASE, "--export", folder)
    assert "[FOLDER_NOT_EMPTY]" in again.err


def test_a_case_is_no_sentence(audited: Audited):
    for reference in ("", "two words", "x" * 65, "-1", "a\u0301b"):
        typed = ("audit", "document", audited.exchange, "--case", reference)
        assert audited.type(*typed).status in (1, 2), reference


# --- State ------------------------------------------------------------------------------


def test_the_state_of_a_document_at_any_position(audited: Audited):
    def state(*options: object) -> Any:
        told = audited.type("audit", "state", "--document", audited.exchange, *options, "--json")
        return told.json["state"]

    assert state("--position", "14") is None
    consigned = state("--position", "15")["deliveries"]
    assert {recipient: one["state"] for recipient, one in consigned.items()} == {
        FINANCE_CODE: "consigned", HEALTH_CODE: "consigned",
    }  # fmt: skip
    assert state("--position", "16")["deliveries"][FINANCE_CODE]["state"] == "collected"
    assert state("--complete")["deliveries"][FINANCE_CODE]["state"] == "finished"
    assert state("--at", "2020-01-01") is None


def test_the_state_of_an_agency_and_of_the_hub(audited: Audited):
    agency = audited.type("audit", "state", "--agency", FINANCE_CODE, "--json").json["state"]
    assert (agency["name"], agency["received"]) == ("Sở Tài chính", {"finished": 1})
    hub = audited.type("audit", "state", "--json").json["state"]
    assert (hub["agencies"], hub["documents"]) == (3, 1)
    assert hub["principals"] == {
        AUDITOR: "auditor", "operator": "operator", "operator-2": "operator",
    }  # fmt: skip
    shown = audited.type("audit", "state", "--agency", FINANCE_CODE, language="vi").out
    assert "đang tham gia" in shown
    assert "Cơ quan" in audited.type("audit", "state", language="vi").out
    assert audited.type("audit", "state", "--document", audited.exchange).status == 0
    assert audited.type("audit", "state", "--agency", "H00", "--at", "2030-01-01").status == 0


# --- Figures ----------------------------------------------------------------------------


def test_figures_as_table_csv_and_json_say_the_same(audited: Audited):
    counted = audited.type("stats", "--period", "year", "--json").json
    year = counted["rows"][0]["period"]
    figures = {
        row["agency"]: [row[name] for name in ("sent", "received", "answered", "late")]
        for row in counted["rows"]
    }
    assert figures == {
        "H29.1.1": [1, 0, 0, 0],
        FINANCE_CODE: [0, 1, 1, 0],
        HEALTH_CODE: [0, 1, 0, 0],
    }
    assert {row["kind"] for row in counted["rows"]} == {"Công văn"}
    assert counted["time_zone"] == "Asia/Ho_Chi_Minh"
    assert counted["position"] >= 18

    [names, *rows] = csv.reader(io.StringIO(audited.type("stats", "--period", "year", "--csv").out))
    assert names == ["period", "agency", "kind", "sent", "received", "answered", "late"]
    assert rows[0] == [year, "H29.1.1", "Công văn", "1", "0", "0", "0"]
    table = audited.type("stats", "--period", "quarter", language="vi").out
    assert f"{year}-Q" in table
    assert "Tính đến vị trí" in table
    nothing = audited.type("stats", "--from", "2020-01-01", "--to", "2020-12-31", "--json").json
    assert nothing["rows"] == []


# --- Rebuild, last: the hub is stopped ---------------------------------------------------


def test_a_rebuild_agrees_and_names_a_row_that_was_changed(audited: Audited):
    site = audited.site
    assert site.type("audit", "rebuild", site.folder).status == 1, "it is being served"
    assert site.stop().status == 0
    agreed = site.type("audit", "rebuild", site.folder, "--json").json
    assert agreed["same"] is True
    assert {table["table"] for table in agreed["tables"]} == {
        "view_state", "view_documents", "view_words", "view_deliveries", "view_notices",
        "view_orders", "view_relays",
    }  # fmt: skip

    with closing(sqlite3.connect(site.folder / "hub.db")) as database, database:
        database.execute("UPDATE view_deliveries SET state = 1 WHERE state = 8")
    told = site.type("audit", "rebuild", site.folder)
    assert told.status == 1
    assert "a row was changed in state" in told.out
    assert FINANCE_CODE in told.out

    with closing(sqlite3.connect(site.folder / "hub.db")) as database, database:
        database.execute("UPDATE view_deliveries SET state = 8 WHERE state = 1 AND collected = 1")
    assert site.type("audit", "rebuild", site.folder).status == 0
