"""What a clerk and an operator type, against a hub that runs as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub.proof.evidence import parse_receipt_file
from hub.proof.leaf import parse_leaf
from tests.support.forks import Forked, run_forked
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port

SENDER, FINANCE, HEALTH = "ubnd-quan-1", "so-tai-chinh", "so-y-te"
FINANCE_CODE, HEALTH_CODE = "H29.2.7", "H29.2.9"
PROGRAM = "hub.cli.main"


@dataclass
class Ended:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


class Site:
    """A hub's folder on this machine, and what is typed beside it."""

    def __init__(self, folder: Path, language: str = "en") -> None:
        self.folder = folder
        self.language = language
        self.process: Forked | None = None

    def type(self, *arguments: object, profile: str | None = None, language: str = "") -> Ended:
        environment = self._environment(language or self.language)
        if profile:
            environment["LIENTHONG_PROFILE"] = str(self.folder / "clients" / profile)
        ended = run_forked(PROGRAM, *arguments, env=environment, timeout=PATIENCE_S)
        assert "Traceback" not in ended.stderr, ended.stderr
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def start(self, *arguments: object, profile: str | None = None) -> Forked:
        environment = self._environment(self.language)
        if profile:
            environment["LIENTHONG_PROFILE"] = str(self.folder / "clients" / profile)
        return Forked(PROGRAM, *arguments, env=environment)

    def serve(self) -> str:
        self.process = self.start("serve", self.folder)
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def stop(self) -> Ended:
        process, self.process = self.process, None
        assert process is not None
        process.terminate()
        out, err = process.communicate(timeout=PATIENCE_S)
        return Ended(process.returncode, out, err)

    def send(self, file: Path, *options: object, language: str = "", who: str = SENDER) -> Ended:
        return self.type(
            "send", file, "--number", "125", "--notation", "UBND-VP", "--type", "Công văn",
            *options, profile=who, language=language,
        )  # fmt: skip

    def _environment(self, language: str) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("LIENTHONG_")}
        own = {"LIENTHONG_LANG": language, "no_proxy": "127.0.0.1", "COLUMNS": "120"}
        # Nothing is to be recorded at a moment of its own: tests count events.
        return {**inherited, **own, "LIENTHONG_DOCUMENT_SIGNATURES": "off"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = new_site(tmp_path_factory.mktemp("site") / "hub")
    first_line = site.serve()
    assert first_line.startswith("lienthong listens on 127.0.0.1:"), first_line
    yield site
    assert site.stop().status == 0
    # Whatever the tests above did, a hub that has stopped is whole.
    checked = site.type("ledger", "fsck", site.folder)
    assert checked.status == 0, checked.out
    assert checked.out.startswith("Everything agrees: ")


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / "công văn.txt"
    path.write_text("Kính gửi: Sở Tài chính.\n")
    return path


def new_site(folder: Path) -> Site:
    site = Site(folder)
    made = site.type("init", folder, "--listen", f"127.0.0.1:{free_port()}", "--json").json
    assert [agency["code"] for agency in made["agencies"]] == [
        "H29.1.1", FINANCE_CODE, HEALTH_CODE,
    ]  # fmt: skip
    return site


def test_a_document_goes_its_way(site: Site, letter: Path, tmp_path: Path):
    receipt = tmp_path / "sent.receipt.json"
    sent = site.send(
        letter, "--to", FINANCE_CODE, "--to", HEALTH_CODE, "--subject", "V/v liên thông",
        "--issued-on", "22/11/2026", "--signer", "Nguyễn Văn An", "--signer-position", "Chủ tịch",
        "--priority", "khan", "--receipt", receipt, "--json",
    ).json  # fmt: skip
    assert sent["receipt"] == str(receipt)

    item = site.type("inbox", "--json", profile=HEALTH).json[-1]
    assert item["exchange"] == sent["exchange"]
    assert item["state"] == "consigned"
    assert "V/v liên thông" in site.type("inbox", profile=HEALTH).out

    fetched = site.type(
        "fetch", item["number"], "--into", tmp_path / "in", "--json", profile=HEALTH
    ).json
    assert [Path(file).read_text() for file in fetched["files"]] == [letter.read_text()]
    assert len(fetched["receipts"]) == 3

    assert site.type("status", item["number"], "03", profile=HEALTH).status == 0
    deliveries = site.type("status", sent["exchange"], "--json", profile=SENDER).json["deliveries"]
    assert {delivery["recipient"]: delivery["state"] for delivery in deliveries} == {
        FINANCE_CODE: "consigned",
        HEALTH_CODE: "accepted",
    }

    root = site.folder / "trusted_root.json"
    assert site.type("verify", "--trust", root, receipt).status == 0
    verified = site.type("verify", "--trust", root, tmp_path, language="vi")
    assert verified.status == 2
    assert "BỊ BÁC BỎ" not in verified.out


def test_fetching_can_leave_the_arrival_unsaid(site: Site, letter: Path, tmp_path: Path):
    sent = site.send(letter, "--to", FINANCE_CODE, "--subject", "kín đáo", "--json").json
    fetched = site.type(
        "fetch", sent["exchange"], "--into", tmp_path / "in", "--no-arrived", profile=FINANCE
    )
    assert fetched.status == 0, fetched.err
    shown = site.type("status", sent["exchange"], "--json", profile=FINANCE).json
    assert [delivery["state"] for delivery in shown["deliveries"]] == ["collected"]


def test_a_recalled_document_is_withheld_and_each_recipient_answers(
    site: Site, letter: Path, tmp_path: Path
):
    exchange = site.send(
        letter, "--to", FINANCE_CODE, "--to", HEALTH_CODE, "--subject", "gửi nhầm", "--json"
    ).json["exchange"]
    fetched = site.type("fetch", exchange, "--into", tmp_path / "in", profile=FINANCE)
    assert fetched.status == 0, fetched.err

    receipt = tmp_path / "13.receipt.json"
    recalled = site.type(
        "recall", exchange, "--reason", "Gửi nhầm", "--receipt", receipt, "--json", profile=SENDER
    ).json
    assert (recalled["exchange"], recalled["code"]) == (exchange, "13")
    again = site.type("recall", exchange, "--reason", "Gửi nhầm", profile=SENDER)
    assert (again.status, "[RECALL_ASKED_ALREADY]" in again.err) == (1, True)

    asked = site.type("inbox", "--json", profile=HEALTH).json[-1]
    assert (asked["kind"], asked["exchange"], asked["recall"]) == ("recall", exchange, "asked")
    words = site.type("inbox", "--after", asked["number"] - 1, profile=HEALTH, language="vi").out
    assert "13 yêu cầu thu hồi" in words
    withheld = site.type("fetch", exchange, "--into", tmp_path / "no", profile=HEALTH)
    assert (withheld.status, "[CONTENT_WITHHELD]" in withheld.err) == (1, True)

    agreed = site.type("answer", asked["number"], "agree", "--json", profile=HEALTH).json
    assert agreed["code"] == "15"
    without = site.type("answer", exchange, "refuse", profile=FINANCE)
    assert (without.status, "[STATEMENT_MALFORMED]" in without.err) == (1, True)
    refused = site.type("answer", exchange, "refuse", "--reason", "Đã xử lý", profile=FINANCE)
    assert refused.out.startswith("Answered, and the receipt holds."), refused.err
    twice = site.type("answer", exchange, "agree", profile=FINANCE)
    assert (twice.status, "[RECALL_NOT_OPEN]" in twice.err) == (1, True)

    shown = site.type("status", exchange, "--json", profile=SENDER).json
    assert {each["recipient"]: each["recall"] for each in shown["deliveries"]} == {
        FINANCE_CODE: "refused",
        HEALTH_CODE: "agreed",
    }
    assert "01 arrived, 16 recall refused" in site.type("status", exchange, profile=SENDER).out


def test_a_sender_keeps_what_a_recipient_signed(site: Site, letter: Path, tmp_path: Path):
    exchange = site.send(letter, "--to", HEALTH_CODE, "--subject", "x", "--json").json["exchange"]
    site.type("fetch", exchange, "--into", tmp_path / "in", profile=HEALTH)
    refused = site.type("status", exchange, "02", "--reason", "Sai nơi nhận", profile=HEALTH)
    assert refused.status == 0, refused.err
    facts = [
        item
        for item in site.type("outbox", "--json", profile=SENDER).json
        if item["exchange"] == exchange
    ]
    assert [(fact["kind"], fact["code"]) for fact in facts] == [
        ("handed_over", None), ("status", "01"), ("status", "02"),
    ]  # fmt: skip
    listed = site.type("outbox", "--after", facts[0]["number"] - 1, profile=SENDER).out
    assert listed.splitlines()[0] == f"Exchange {exchange}"
    assert f"02 refused  position {facts[2]['position']}" in listed

    receipt = tmp_path / "02.receipt.json"
    got = site.type(
        "evidence", "statement", facts[2]["position"], "--out", receipt, "--json", profile=SENDER
    )
    said = {name: got.json[name] for name in ("author", "code", "reason")}
    assert said == {"author": HEALTH_CODE, "code": "02", "reason": "Sai nơi nhận"}
    words = site.type(
        "evidence", "statement", facts[1]["position"], "--out", receipt, profile=SENDER
    )
    assert "01 arrived" in words.out
    assert "Công văn 125/UBND-VP" in words.out
    root = site.folder / "trusted_root.json"
    verified = site.type("verify", "--trust", root, receipt)
    assert verified.status == 2
    assert "7. PROVEN" in verified.out

    nobodys = site.type(
        "evidence", "statement", facts[2]["position"], "--out", receipt, profile=FINANCE
    )
    assert (nobodys.status, "[POSITION_UNKNOWN]" in nobodys.err) == (1, True)


def test_a_document_is_updated_and_replaced(site: Site, letter: Path):
    first = site.send(letter, "--to", FINANCE_CODE, "--subject", "một", "--json").json["exchange"]
    seen = len(site.type("inbox", "--json", profile=FINANCE).json)
    options = ("--to", FINANCE_CODE, "--subject", "hai", "--json")
    update = site.send(letter, *options, "--updates", first).json["exchange"]
    newer = site.send(letter, *options, "--replaces", first).json["exchange"]

    items = site.type("inbox", "--after", seen, "--json", profile=FINANCE).json
    assert [(item["kind"], item["exchange"], item["by_exchange"]) for item in items] == [
        ("document", update, None), ("updated", first, update),
        ("document", newer, None), ("replaced", first, newer),
    ]  # fmt: skip
    words = site.type("inbox", "--after", seen, profile=FINANCE).out
    assert "125/UBND-VP: replaced by" in words
    assert f"Replaced by exchange {newer}." in site.type("status", first, profile=SENDER).out

    both = site.send(letter, *options, "--updates", first, "--replaces", first)
    assert (both.status, "exclude each other" in both.err) == (2, True)
    wrong = site.send(letter, *options, "--replaces", "1")
    assert (wrong.status, "name the exchange by its id" in wrong.err) == (2, True)


def test_a_document_expires_in_vietnams_time(site: Site, letter: Path):
    sent = site.send(
        letter, "--to", HEALTH_CODE, "--subject", "x", "--expires-at", "2036-11-30 17:00",
        "--receipt", site.folder.parent / "expiring.receipt.json", "--json",
    ).json  # fmt: skip
    receipt = parse_receipt_file(Path(sent["receipt"]).read_bytes()).receipt
    assert parse_leaf(receipt.leaf).data["expires_at"] == "2036-11-30T17:00:00+07:00"


def test_a_refusal_reaches_the_clerk_in_vietnamese(site: Site, letter: Path):
    before = site.type("inbox", "--json", profile=FINANCE).json
    refused = site.send(
        letter, "--to", FINANCE_CODE, "--to", "H29.9.9", "--subject", "x", language="vi"
    )
    assert refused.status == 1
    assert refused.out == ""
    assert refused.err.splitlines() == [
        "Lỗi: Một số bên nhận chưa đăng ký với máy chủ này; chưa gửi gì cho ai cả."
        " [RECIPIENT_UNKNOWN]",
        "  Chi tiết: chưa đăng ký với máy chủ này: H29.9.9",
        "  Việc cần làm: Sửa các mã được nêu rồi gửi lại.",
    ]
    assert site.type("inbox", "--json", profile=FINANCE).json == before


def test_a_refusal_needs_its_reason(site: Site, letter: Path):
    sent = site.send(letter, "--to", FINANCE_CODE, "--subject", "từ chối", "--json").json
    without = site.type("status", sent["exchange"], "02", profile=FINANCE)
    assert (without.status, "[STATEMENT_MALFORMED]" in without.err) == (1, True)
    reported = site.type("status", sent["exchange"], "02", "--reason", "Gửi nhầm", profile=FINANCE)
    assert reported.status == 0, reported.err


def test_a_document_that_is_not_there_is_a_sentence(site: Site, tmp_path: Path):
    ended = site.type("fetch", "999999", "--into", tmp_path, profile=FINANCE)
    assert (ended.status, "[NOT_FOUND]" in ended.err) == (1, True)
    nobodys = "01a20170-2136-7f0b-8192-0479bee4d0ae"
    ended = site.type("status", nobodys, profile=FINANCE)
    assert (ended.status, "[EXCHANGE_UNKNOWN]" in ended.err) == (1, True)


def test_an_operator_registers_an_agency(site: Site, tmp_path: Path):
    receipt = tmp_path / "added.receipt.json"
    added = site.type(
        "agency", "add", "H29.2.11", "Sở Nội vụ", "--receipt", receipt, profile="operator"
    )
    assert added.status == 0, added.err
    root = site.folder / "trusted_root.json"
    assert site.type("verify", "--trust", root, receipt).status == 0

    again = site.type("agency", "add", "H29.2.11", "Sở Nội vụ", profile="operator")
    assert (again.status, "[AGENCY_EXISTS]" in again.err) == (1, True)

    certificate = site.folder / "clients" / FINANCE / "signing.pem"
    taken = site.type(
        "agency", "enrol", "H29.2.11", certificate, "--purpose", "signing",
        "--algorithm", "ed25519", profile="operator",
    )  # fmt: skip
    assert (taken.status, "[KEY_TAKEN]" in taken.err) == (1, True)

    listed = site.type("agency", "list", "--json", profile="operator").json
    assert {"H29.1.1", "H29.2.11"} <= {agency["code"] for agency in listed}
    assert "Sở Nội vụ" in site.type("agency", "list", profile="operator").out


def test_an_agency_is_no_operator(site: Site):
    ended = site.type("agency", "list", profile=FINANCE)
    assert (ended.status, "[ROLE_NOT_PERMITTED]" in ended.err) == (1, True)
    assert site.type("inbox", profile=FINANCE).status == 0

    ended = site.type("inbox", profile="operator")
    assert (ended.status, "[ROLE_NOT_PERMITTED]" in ended.err) == (1, True)
    assert site.type("agency", "list", profile="operator").status == 0


def test_a_second_process_on_the_same_folder_is_refused(site: Site):
    for arguments in (
        ["serve", site.folder], ["migrate", site.folder],
    ):  # fmt: skip
        ended = site.type(*arguments, language="vi")
        assert ended.status == 1
        assert "[FOLDER_BUSY]" in ended.err
        assert "một tiến trình khác đang dùng" in ended.err


def test_an_address_in_use_is_a_sentence(site: Site, tmp_path: Path):
    other = Site(tmp_path / "other")
    settings = (site.folder / "hub.toml").read_text()
    listen = settings.partition('listen = "')[2].partition('"')[0]
    assert other.type("init", other.folder, "--listen", listen).status == 0
    ended = other.type("serve", other.folder)
    assert (ended.status, "[ADDRESS_IN_USE]" in ended.err) == (1, True)


def test_watching_goes_on_until_interrupted(site: Site, letter: Path):
    seen = len(site.type("inbox", "--json", profile=HEALTH).json)
    watch = site.start("inbox", "--watch", "--json", "--after", seen, profile=HEALTH)
    try:
        sent = site.send(letter, "--to", HEALTH_CODE, "--subject", "mới", "--json").json
        assert watch.stdout is not None
        assert json.loads(watch.stdout.readline())["exchange"] == sent["exchange"]
        watch.send_signal(signal.SIGINT)
        _out, err = watch.communicate(timeout=PATIENCE_S)
        assert (watch.returncode, err) == (130, "")
    finally:
        watch.kill()
        watch.communicate()


def test_watching_what_became_of_ones_documents(site: Site, letter: Path, tmp_path: Path):
    seen = len(site.type("outbox", "--json", profile=SENDER).json)
    sent = site.send(letter, "--to", HEALTH_CODE, "--subject", "mới", "--json").json
    watch = site.start("outbox", "--watch", "--after", seen, profile=SENDER)
    try:
        site.type(
            "fetch", sent["exchange"], "--into", tmp_path / "in", "--no-arrived", profile=HEALTH
        )
        assert watch.stdout is not None
        line = watch.stdout.readline().split()
        assert (line[0], line[3:5], line[-3:]) == (
            str(seen + 1), [HEALTH_CODE, "collected"], [sent["exchange"], "125/UBND-VP:", "mới"],
        )  # fmt: skip
        watch.send_signal(signal.SIGINT)
        _out, err = watch.communicate(timeout=PATIENCE_S)
        assert (watch.returncode, err) == (130, "")
    finally:
        watch.kill()
        watch.communicate()


def test_a_database_of_another_schema_is_not_served(tmp_path: Path):
    site = new_site(tmp_path / "hub")
    done = site.type("migrate", site.folder)
    assert done.out == "The database has the schema of this version already.\n"
    with closing(sqlite3.connect(site.folder / "hub.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    refused = site.type("serve", site.folder)
    assert (refused.status, "[CONFIG_INVALID]" in refused.err) == (1, True)
    assert f"run `lienthong migrate {site.folder}`" in refused.err
    newer = site.type("migrate", site.folder, language="vi")
    assert (newer.status, "do một phiên bản mới hơn tạo ra" in newer.err) == (1, True)

    (site.folder / "hub.db").unlink()
    missing = site.type("migrate", site.folder)
    assert (missing.status, "is missing; put it back" in missing.err) == (1, True)
    assert not (site.folder / "hub.db").exists()


def test_stopping_lets_open_streams_end_and_serving_goes_on_after(tmp_path: Path, letter: Path):
    site = new_site(tmp_path / "hub")
    site.serve()
    watch = site.start("inbox", "--watch", "--json", profile=FINANCE)
    try:
        site.send(letter, "--to", FINANCE_CODE, "--subject", "một")
        assert watch.stdout is not None
        watch.stdout.readline()
        stopped = site.stop()
        assert stopped.status == 0, stopped.err
        assert stopped.out == "Stopped; everything that was accepted is recorded.\n"
        site.serve()
        site.send(letter, "--to", FINANCE_CODE, "--subject", "hai")
        # The watch made its connection anew, and missed and doubled nothing.
        assert json.loads(watch.stdout.readline())["number"] == 2
    finally:
        watch.kill()
        watch.communicate()
        site.stop()


def test_what_could_not_be_sent_is_sent_once_when_the_command_is_repeated(
    tmp_path: Path, letter: Path
):
    site = new_site(tmp_path / "hub")
    options = ("--to", FINANCE_CODE, "--subject", "một lần")
    unreachable = site.send(letter, *options)
    assert unreachable.status == 1
    assert "[HUB_UNREACHABLE]" in unreachable.err
    assert "Do not send it a second time yourself." in unreachable.err
    site.serve()
    try:
        again = site.send(letter, *options, "--json")
        assert "Sent now, from an earlier run" in again.err
        items = site.type("inbox", "--json", profile=FINANCE).json
        assert [item["exchange"] for item in items] == [again.json["exchange"]]
    finally:
        site.stop()
