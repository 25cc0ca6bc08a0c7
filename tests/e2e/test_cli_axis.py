"""What a clerk, an operator and an auditor type when documents go over the axis."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.axis.reading import VIETNAM
from adapters.axis.simulator.faults import Fault
from adapters.axis.simulator.habits import Habits
from adapters.axis.simulator.server import Simulator
from tests.e2e.test_cli import FINANCE, SENDER, Site, new_site
from tests.support.patience import PATIENCE_S

OPERATOR, REMOTE = "operator", "G12.18"
HERE = "H29.1.1"


@pytest.fixture(scope="module")
def axis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, str]]:
    simulator = Simulator(
        tmp_path_factory.mktemp("axis"),
        lambda: datetime.now(UTC).astimezone(VIETNAM),
        habits=Habits(correspondents=(REMOTE,)),
    )
    simulator.store.enrol("HUB.H29", ["bi mat"], [HERE, "H29.2.7", "H29.2.9"])
    simulator.store.enrol(REMOTE, ["khong ai biet"])
    with simulator.listening() as address:
        yield simulator, address
    simulator.store.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, axis: tuple[Simulator, str]) -> Iterator[Site]:
    site = new_site(tmp_path_factory.mktemp("site") / "hub")
    (site.folder / "axis-secret").write_text("bi mat\n")
    with (site.folder / "hub.toml").open("a", encoding="utf-8") as settings:
        settings.write(
            f'\n[axis]\nendpoint = "{axis[1]}"\nsystem_id = "HUB.H29"\n'
            'secrets = ["axis-secret"]\nsend_every_s = 0.2\npoll_every_s = 0.2\n'
            "directory_every_s = 0.5\nretry_first_s = 30\n"
        )
    assert site.serve().startswith("lienthong listens on")
    known = lambda: [each["code"] for each in found(site, "agency", "search", REMOTE)]  # noqa: E731
    until(lambda: REMOTE in known())
    yield site
    assert site.stop().status == 0
    checked = site.type("ledger", "fsck", site.folder)
    assert checked.status == 0, checked.out


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / "letter.pdf"
    path.write_bytes(b"%PDF-1.7")
    return path


def found(site: Site, *arguments: object) -> Any:
    return site.type(*arguments, "--json", profile=SENDER).json


def until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up, "it never came"
        time.sleep(0.1)


def send(site: Site, letter: Path, subject: str) -> str:
    answer = site.send(letter, "--subject", subject, "--to", REMOTE, "--json")
    return str(answer.json["exchange"])


def open_relays(site: Site) -> list[dict[str, Any]]:
    relays: list[dict[str, Any]] = site.type("axis", "status", "--json", profile=OPERATOR).json[
        "relays"
    ]
    return relays


def test_a_document_goes_there_and_its_answer_comes(site: Site, letter: Path, tmp_path: Path):
    exchange = send(site, letter, "V/v gửi qua trục")
    until(lambda: len(found(site, "outbox")) >= 2)
    lines = [each for each in found(site, "outbox") if each["exchange"] == exchange]
    # A status that is here before its document is known as sent waits a round: any order.
    assert sorted((each["kind"], each["code"]) for each in lines) == [
        ("axis_status", "01"),
        ("axis_status", "03"),
    ]
    assert "by the axis's word" in site.type("outbox", profile=SENDER).out

    until(lambda: any(each["origin"] == "axis" for each in found(site, "inbox")))
    (came,) = [each for each in found(site, "inbox") if each["origin"] == "axis"]
    assert (came["sender"], came["subject"]) == (REMOTE, "V/v trả lời công văn số 125/UBND-VP")
    shown = site.type("inbox", profile=SENDER, language="vi")
    assert "chưa chứng minh" in " ".join(shown.out.split())

    into = tmp_path / "in"
    fetched = site.type("fetch", came["number"], "--into", into, "--json", profile=SENDER).json
    assert fetched["sender_proven"] is False
    assert Path(fetched["files"][0]).read_text() == "Đã nhận công văn số 125/UBND-VP.\n"
    root = site.folder / "trusted_root.json"
    (receipt,) = into.rglob("*.document.receipt.json")
    verified = site.type("verify", "--trust", root, receipt)
    assert verified.status == 2
    assert "The sender is not proven" in " ".join(verified.out.split())
    assert "chưa được chứng minh" in " ".join(
        site.type("verify", "--trust", root, receipt, language="vi").out.split()
    )

    for name, number in (("sent", exchange), ("came", came["exchange"])):
        bundle = tmp_path / f"{name}.bundle.json"
        made = site.type("evidence", "bundle", number, "--out", bundle, profile=SENDER)
        assert made.status == 0, made.err
        checked = site.type("verify", "--trust", root, bundle)
        assert checked.status == 2, checked.out
        assert ("not proven" in checked.out) is (name == "came")


def test_an_operator_sees_what_is_stuck_and_lets_it_go_on(site: Site, letter: Path, axis):
    simulator, _address = axis
    until(lambda: open_relays(site) == [])
    simulator.store.lock(REMOTE)
    send(site, letter, "V/v bị khóa")
    until(lambda: [each["state"] for each in open_relays(site)] == ["parked"])

    (parked,) = open_relays(site)
    assert (parked["reason"], parked["code"]) == ("AXIS_REFUSED", "23")
    told = site.type("axis", "status", profile=OPERATOR, language="vi")
    assert "đang gác" in " ".join(told.out.split())
    wrong = site.type("axis", "park", parked["relay"], "--reason", "x", profile=OPERATOR)
    assert "[RELAY_NOT_OPEN]" in wrong.err
    nobody = site.type("axis", "resume", "01a20606-35c0-8289-ac34-5f170182f6e5", profile=OPERATOR)
    assert "[RELAY_UNKNOWN]" in nobody.err
    assert site.type("axis", "resume", profile=OPERATOR).status == 2, "of which package?"
    assert site.type("axis", "status", profile=FINANCE).status == 1, "no agency sees it"

    simulator.store.lock(REMOTE, is_locked=False)
    done = site.type("axis", "resume", "--all", "--json", profile=OPERATOR).json
    assert [each["relay"] for each in done] == [parked["relay"]]
    until(lambda: open_relays(site) == [])


def test_what_failed_is_repeated_when_an_operator_says_so(site: Site, letter: Path, axis):
    simulator, _address = axis
    until(lambda: open_relays(site) == [])
    simulator.faults.plan(Fault.NO_REPLY, "sendEdoc")
    send(site, letter, "V/v mất trả lời")

    # An answer of an agency here may be on its way beside it.
    def lost() -> list[dict[str, Any]]:
        return [each for each in open_relays(site) if each["state"] == "failed"]

    until(lambda: len(lost()) == 1)
    (failed,) = lost()
    assert failed["again_at"] > failed["updated_at"]

    assert site.type("axis", "retry", failed["relay"], profile=OPERATOR).status == 0
    until(lambda: open_relays(site) == [])


def test_the_books_are_compared_and_the_log_signs_for_it(site: Site, tmp_path: Path):
    until(lambda: open_relays(site) == [])
    report = tmp_path / "report.json"
    done = site.type("axis", "reconcile", "--report", report, profile=OPERATOR)
    assert done.status == 0, done.err
    assert done.out.startswith("The books agree: ")
    assert json.loads(report.read_text())["differences"] == []
    root = site.folder / "trusted_root.json"
    receipt = tmp_path / "report.json.receipt.json"
    assert site.type("verify", "--trust", root, receipt).status == 0
    again = site.type("axis", "reconcile", "--json", profile=OPERATOR).json
    assert again["differences"] == []
