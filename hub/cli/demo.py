"""`lienthong demo`: a hub, three agencies, some letters, and an attempt to rewrite history."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import shutil
import signal
import sqlite3
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from hub.cli.console import say, say_table
from hub.cli.errors import CommandFailed
from hub.cli.fetch import RECEIPTS
from hub.cli.letter import letter_pdf
from hub.cli.messages import _, language
from hub.cli.send import today
from hub.cli.session import code_in_words
from hub.cli.stage import AUDITORS_TOOL, HUB_LOG, Stage, free_port, require
from hub.cli.verify import verdict_in_words
from hub.proof.evidence import parse_receipt_file
from hub.proof.findings import Verdict
from hub.proof.receipt import parse_tlog_proof

HUB, EVIDENCE, TRUSTED_ROOT = "hub", "evidence", "trusted_root.json"
SENT, ACCEPTED, ARRIVED = "125.receipt.json", "03.receipt.json", "so-y-te-01.receipt.json"

SUBJECTS = {
    "125": "V/v thử nghiệm liên thông",
    "126": "V/v thử nghiệm liên thông (thay số 125)",
    "127": "V/v lịch họp nội bộ",
    "128": "V/v gửi sau khi máy chủ đổi khóa",
    "129": "V/v phối hợp công tác thuế",
}
# Numbers in the inbox of each recipient. 2 is letter 126, 3 tells that it replaces 125.
FIRST, MISTAKE, RECALL = "1", "4", "5"


@dataclass(frozen=True, slots=True)
class _Agency:
    """One of the sample agencies that `lienthong init` registers."""

    code: str
    name: str
    slug: str

    @property
    def profile(self) -> Path:
        return Path(HUB, "clients", self.slug, "profile.toml")

    @property
    def evidence(self) -> Path:
        return Path(EVIDENCE, self.slug)


SENDER = _Agency("H29.1.1", "UBND Quận 1", "ubnd-quan-1")
FINANCE = _Agency("H29.2.7", "Sở Tài chính", "so-tai-chinh")
HEALTH = _Agency("H29.2.9", "Sở Y tế", "so-y-te")
RECIPIENTS = (FINANCE, HEALTH)

# An agency of another hub, behind the national axis: here one that answers by itself.
REMOTE = _Agency("G12.18", "Cục Thuế", "cuc-thue")
AXIS, AXIS_SECRET = "axis", "axis-secret"

RECEIPTS_IN_ALL = 21
_WAIT_S, _LOOK_EVERY_S = 180.0, 0.2

# What the forger makes of the event: Sở Y tế was never among the recipients.
FORGED_CODE = "H29.2.8"

_OPERATORS = ("operator", "operator-2")
_EDITION = "trusted_root.2.json"
_KEY_ID = re.compile(r"\+([0-9a-f]{8})\+")
_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def demo(
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Make everything in this new folder and leave it there; else only the evidence "
            "is left, in a temporary one.",
        ),
    ] = None,
) -> None:
    """Run a hub, three agencies and an axis here, send and recall, then rewrite history.

    Exit status: 0 when every step comes out as it is told, 1 when one does not.
    """
    signal.signal(signal.SIGTERM, _leave)
    stage = Stage(_new_folder(keep), language())
    say(_("Three letters between three agencies, and an attempt to rewrite what happened."))
    say(_("All of it is real: processes, mutual TLS, signatures, files in {folder}.",
          folder=stage.folder))  # fmt: skip
    _make_a_hub(stage)
    with _axis_beside(stage), _hub_serving(stage):
        first = _send_a_letter(stage)
        _look_into_both_inboxes(stage)
        _collect_at_both(stage)
        _accept(stage)
        _replace(stage, first)
        _recall_another(stage)
        _be_denied(stage)
        _answer_the_recall(stage)
        _watch_the_outbox(stage)
        _write_to_the_axis(stage)
        _get_an_answer(stage)
        _change_the_key(stage)
    _verify_without_the_hub(stage)
    position = _forge_an_event(stage)
    _find_the_forgery(stage, position)
    _be_refused(stage, position)
    _verify_one_receipt(stage)
    if keep is None:
        _leave_only_the_evidence(stage.folder)
    _say_how_to_go_on(stage.folder, position)


def _new_folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="lienthong-demo-"))
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise CommandFailed(
            "FOLDER_NOT_EMPTY",
            _("{folder} is not an empty folder.", folder=keep),
            _("Name a folder that does not exist yet."),
        )
    keep.mkdir(parents=True, exist_ok=True)
    return keep.absolute()


# --- The steps --------------------------------------------------------------------------


def _make_a_hub(stage: Stage) -> None:
    stage.step(
        _("A new hub"),
        _("It gets keys of its own, an operator and three agencies with their certificates. Its "
          "trusted root is what everybody will check receipts against."),
    )  # fmt: skip
    stage.run("init", HUB, "--origin", "demo.localhost/log", "--listen", f"127.0.0.1:{free_port()}")
    evidence = stage.folder / EVIDENCE
    for agency in (SENDER, *RECIPIENTS):
        (evidence / agency.slug).mkdir(parents=True)
    shutil.copy(stage.folder / HUB / TRUSTED_ROOT, evidence)


@contextmanager
def _axis_beside(stage: Stage) -> Iterator[None]:
    stage.step(
        _("An axis to try against"),
        _("It speaks as the national document axis does, and has one agency of another hub, "
          "{name}, which answers by itself. The hub is told where it is.", name=REMOTE.name),
    )  # fmt: skip
    address, secret = f"127.0.0.1:{free_port()}", secrets.token_urlsafe(12)
    (stage.folder / HUB / AXIS_SECRET).write_text(secret, encoding="utf-8")
    with (stage.folder / HUB / "hub.toml").open("a", encoding="utf-8") as settings:
        settings.write(
            f'\n[axis]\nendpoint = "http://{address}"\nsystem_id = "{SENDER.code}"\n'
            f'secrets = ["{AXIS_SECRET}"]\npoll_every_s = 0.5\n'
        )
    with stage.running(
        "axis", "simulate", AXIS, "--listen", address, "--organisation",
        f"{SENDER.code}={secret}", "--correspondent", REMOTE.code, lines=2,
    ):  # fmt: skip
        yield


@contextmanager
def _hub_serving(stage: Stage) -> Iterator[None]:
    stage.step(
        _("The hub starts"),
        _("Before it listens, it checks its whole log. Only certificates enrolled with it get in."),
    )
    with stage.serving(HUB) as served:
        # Its list of agencies is a fact of the log: before the first letter, whatever is slow.
        _wait_for(stage, REMOTE.code, "agency", "search", REMOTE.code)
        yield
        stage.step(
            _("The hub stops"),
            _("From here on nobody needs it: what happened is proven by what the agencies hold."),
        )
        stage.show_command("kill -TERM")
        require(served.stop() == 0, _("The hub did not stop as it should."))


def _send_a_letter(stage: Stage) -> str:
    stage.step(
        _("{sender} sends a letter", sender=SENDER.name),
        _("The PDF is described in an envelope, signed here with the agency's own key, and sent "
          "to two agencies at once. The receipt that comes back is verified on arrival."),
    )  # fmt: skip
    return _send(stage, "125", "--receipt", str(SENDER.evidence / SENT))


def _look_into_both_inboxes(stage: Stage) -> None:
    stage.step(
        _("Both inboxes show it"),
        _("Each agency has numbers of its own without gaps, so nothing can be left out unnoticed; "
          "at most the newest can be held back for a while. The file itself is not to be had yet."),
    )  # fmt: skip
    for agency in RECIPIENTS:
        said = stage.run("inbox", by=agency.name, profile=agency.profile)
        require(SENDER.code in said, _("The letter is not in the inbox of {name}.",
                                       name=agency.name))  # fmt: skip


def _collect_at_both(stage: Stage) -> None:
    stage.step(
        _("Both sign for it and fetch it"),
        _("Content is released only against a signed statement, so nobody can read and deny. "
          "Everything is verified here, and only then reported as arrived (01)."),
    )  # fmt: skip
    for agency in RECIPIENTS:
        _fetch(stage, agency, FIRST, "125", agency.evidence)


def _accept(stage: Stage) -> None:
    stage.step(
        _("{name} accepts it", name=FINANCE.name),
        _("A status is a signed statement too, and gets a receipt of its own."),
    )
    receipt = str(FINANCE.evidence / ACCEPTED)
    stage.run("status", FIRST, "03", "--receipt", receipt, by=FINANCE.name, profile=FINANCE.profile)


def _replace(stage: Stage, first: str) -> None:
    stage.step(
        _("The letter is replaced"),
        _("It had a mistake. The corrected one names it, and from then on it counts no more; it "
          "stays in the log, with everything that was said about it."),
    )  # fmt: skip
    receipt = str(SENDER.evidence / "126.receipt.json")
    _send(stage, "126", "--replaces", first, "--receipt", receipt)


def _recall_another(stage: Stage) -> None:
    stage.step(
        _("Another letter should not have gone out"),
        _("{name} has it already when it is recalled (13). Whoever has not collected it cannot "
          "any more.", name=FINANCE.name),
    )  # fmt: skip
    exchange = _send(stage, "127", "--receipt", str(SENDER.evidence / "127.receipt.json"))
    _fetch(stage, FINANCE, MISTAKE, "127", FINANCE.evidence / "127")
    stage.run(
        "recall", exchange, "--reason", "Gửi nhầm", "--receipt",
        str(SENDER.evidence / "13.receipt.json"), by=SENDER.name, profile=SENDER.profile,
    )  # fmt: skip


def _be_denied(stage: Stage) -> None:
    stage.step(
        _("{name} comes too late", name=HEALTH.name),
        _("Its inbox tells it all that has happened, each fact under a number of its own."),
    )
    stage.run("inbox", by=HEALTH.name, profile=HEALTH.profile)
    said = stage.run(
        "fetch", MISTAKE, "--into", str(HEALTH.evidence),
        by=HEALTH.name, profile=HEALTH.profile, expect=1,
    )  # fmt: skip
    require("[CONTENT_WITHHELD]" in said, _("A recalled letter was handed over."))


def _answer_the_recall(stage: Stage) -> None:
    stage.step(
        _("One agrees (15), the other refuses (16)"),
        _("A recipient that has acted on a letter may keep it, and says why."),
    )
    for agency, answer, code in (
        (HEALTH, ("agree",), "15"),
        (FINANCE, ("refuse", "--reason", "Đã xử lý xong"), "16"),
    ):
        stage.run(
            "answer", RECALL, *answer, "--receipt", str(agency.evidence / f"{code}.receipt.json"),
            by=agency.name, profile=agency.profile,
        )  # fmt: skip


def _watch_the_outbox(stage: Stage) -> None:
    stage.step(
        _("The sender sees all of it"),
        _("Its outbox is numbered without gaps too: what each recipient signed, letter by letter. "
          "It keeps a verified copy of the 01 of {name}: its own proof of arrival.",
          name=HEALTH.name),
    )  # fmt: skip
    said = stage.run("outbox", by=SENDER.name, profile=SENDER.profile)
    for code in ("01", "03", "15", "16"):
        require(code_in_words(code) in said, _("The sender does not see all of it."))
    arrived = [line for line in said.splitlines() if HEALTH.code in line and " 01 " in line]
    stage.run(
        "evidence", "statement", arrived[0].split()[-1], "--out", str(SENDER.evidence / ARRIVED),
        by=SENDER.name, profile=SENDER.profile,
    )  # fmt: skip


def _write_to_the_axis(stage: Stage) -> None:
    stage.step(
        _("A letter goes over the axis"),
        _("An agency behind it is a recipient like any other. What it says of the letter comes "
          "back, but nobody signed for that: it is the axis's word."),
    )  # fmt: skip
    _send(stage, "129", "--receipt", str(SENDER.evidence / "129.receipt.json"), to=(REMOTE,))
    _wait_for(stage, code_in_words("03") + ",", "outbox", lines_of=REMOTE.code)
    stage.run("outbox", by=SENDER.name, profile=SENDER.profile)


def _get_an_answer(stage: Stage) -> None:
    stage.step(
        _("An answer comes in"),
        _("It lies in the inbox like any other. Its sender is not proven, and everything says so; "
          "that the hub took it in, and what it was, the receipt proves."),
    )  # fmt: skip
    _wait_for(stage, REMOTE.code, "inbox")
    stage.run("inbox", by=SENDER.name, profile=SENDER.profile)
    into = str(SENDER.evidence / "tu-truc")
    stage.run("fetch", FIRST, "--into", into, by=SENDER.name, profile=SENDER.profile)
    came = list((stage.folder / into).glob("*.txt"))
    require(len(came) == 1, _("The answer did not come."))


def _wait_for(stage: Stage, text: str, *command: str, lines_of: str = "") -> None:
    """Wait until a command of the sender says something, in a line that names an agency."""
    give_up = time.monotonic() + _WAIT_S
    while True:
        said = stage.ask(command, SENDER.profile)
        if any(text in line for line in said.splitlines() if lines_of in line):
            return
        require(time.monotonic() < give_up, _("Nothing came over the axis."))
        time.sleep(_LOOK_EVERY_S)


def _change_the_key(stage: Stage) -> None:
    stage.step(
        _("The hub changes its key"),
        _("A new key is announced, and the trusted root that lists it is signed by two of its "
          "three holders. Two operators activate it together, and the old one ends. {sender} "
          "holds the oldest trusted root, follows, and goes on.", sender=SENDER.name),
    )  # fmt: skip
    one, other = (Path(HUB, "clients", name, "profile.toml") for name in _OPERATORS)
    keys = json.loads(stage.run("keys", "list", "--json", by=_OPERATORS[0], profile=one))
    announced = stage.run("keys", "announce", by=_OPERATORS[0], profile=one)
    stage.run("trust", "draft", _EDITION, by=_OPERATORS[0], profile=one, lines_max=4)
    holders = [w for n in (1, 2) for w in ("--key", f"{HUB}/root-keys/root-{n}.key.pem")]
    stage.run("trust", "sign", _EDITION, *holders, lines_max=4)
    stage.run("trust", "publish", _EDITION, by=_OPERATORS[0], profile=one)
    new = _KEY_ID.search(announced)
    said = stage.run(
        "keys", "activate", new[1] if new else "", "--reason", "planned", "--basis",
        "QĐ 12/QĐ-STTTT", by=_OPERATORS[0], profile=one,
    )  # fmt: skip
    order = _DIGEST.search(said)
    stage.run(
        "keys", "approve", order[0] if order else "", "--yes", by=_OPERATORS[1], profile=other
    )
    stage.run("keys", "retire", keys[0]["key_id"], by=_OPERATORS[0], profile=one)
    _send(stage, "128")


def _send(stage: Stage, number: str, *options: str, to: Sequence[_Agency] = RECIPIENTS) -> str:
    """Send a letter to these recipients; its exchange."""
    letter = SENDER.evidence / _file(number)
    (stage.folder / letter).write_bytes(letter_pdf(_letter(number)))
    named = [word for recipient in to for word in ("--to", recipient.code)]
    said = stage.run(
        "send", str(letter), *named, "--number", number, "--notation", "UBND-VP",
        "--type", "Công văn", "--subject", SUBJECTS[number], *options,
        by=SENDER.name, profile=SENDER.profile,
    )  # fmt: skip
    exchange = _UUID.search(said)
    require(exchange is not None, _("The letter was not accepted."))
    return exchange[0] if exchange else ""


def _fetch(stage: Stage, agency: _Agency, name: str, number: str, into: Path) -> None:
    """Fetch a letter, and compare it with what was sent."""
    stage.run("fetch", name, "--into", str(into), by=agency.name, profile=agency.profile)
    sent, fetched = (stage.folder / folder / _file(number) for folder in (SENDER.evidence, into))
    require(
        fetched.is_file() and fetched.read_bytes() == sent.read_bytes(),
        _("What {name} fetched is not what was sent.", name=agency.name),
    )


def _verify_without_the_hub(stage: Stage) -> None:
    stage.step(
        _("All receipts are verified offline"),
        _("By a program that needs no hub, no network and no database: only the trusted root. It "
          "says itself what it leaves unchecked: the chain of a signing certificate."),
    )  # fmt: skip
    arguments = ["--trust", f"{EVIDENCE}/{TRUSTED_ROOT}", "--json", EVIDENCE]
    stage.show_command(f"python -m hub.proof {shlex.join(arguments)}")
    report = json.loads(stage.call(AUDITORS_TOOL, arguments).stdout)
    say_table(
        [_("Receipt"), _("Steps"), _("Verdict")],
        [
            [
                _short(Path(file["file"])),
                str(len(file["findings"])),
                verdict_in_words(file["verdict"]),
            ]
            for file in report["files"]
        ],
        indent=4,
    )
    require(len(report["files"]) == RECEIPTS_IN_ALL, _("Some receipts are missing."))
    require(report["verdict"] != Verdict.REFUTED, _("A receipt was refuted."))


def _forge_an_event(stage: Stage) -> int:
    stage.step(
        _("Somebody rewrites history"),
        _("An operator with every right on the machine opens the database, takes away the "
          "trigger that guards the events, and makes it look as if the letter had never been "
          "sent to {name}. Then the trigger is put back, as if nothing had happened.",
          name=HEALTH.name),
    )  # fmt: skip
    receipt = parse_receipt_file((stage.folder / SENDER.evidence / SENT).read_bytes()).receipt
    position = parse_tlog_proof(receipt.proof).index
    statements = forge(
        stage.folder / HUB / "hub.db", position, HEALTH.code.encode(), FORGED_CODE.encode()
    )
    stage.show_command(f"sqlite3 {HUB}/hub.db")
    stage.show_output("\n".join(statements))
    return position


def _find_the_forgery(stage: Stage, position: int) -> None:
    stage.step(
        _("The check finds it"),
        _("It recomputes everything from the first event and names what differs."),
    )
    said = stage.run("ledger", "fsck", HUB, expect=1, lines_max=5)
    require(_names(said, position), _("The check does not name event {position}.",
                                      position=position))  # fmt: skip


def _be_refused(stage: Stage, position: int) -> None:
    stage.step(
        _("The hub refuses to start"),
        _("A hub whose history contradicts its own signatures does not serve anyone."),
    )
    said = stage.run("serve", HUB, expect=1)
    require(_names(said, position), _("The hub does not name event {position}.",
                                      position=position))  # fmt: skip


def _verify_one_receipt(stage: Stage) -> None:
    stage.step(
        _("The receipt stands"),
        _("What {name} was handed still proves what really happened, step by step.",
          name=HEALTH.name),
    )  # fmt: skip
    (receipt,) = (stage.folder / HEALTH.evidence).rglob("*.document.receipt.json")
    stage.run(
        "verify", "--trust", f"{EVIDENCE}/{TRUSTED_ROOT}", str(receipt.relative_to(stage.folder)),
        by=HEALTH.name, expect=2,
    )  # fmt: skip


def _leave_only_the_evidence(folder: Path) -> None:
    shutil.rmtree(folder / HUB)
    (folder / _EDITION).unlink()
    shutil.rmtree(folder / AXIS)
    (folder / HUB_LOG).unlink()


def _say_how_to_go_on(folder: Path, position: int) -> None:
    evidence = folder / EVIDENCE
    say("")
    say(_("Everything came out as told: event {position} was changed, and found.",
          position=position), style="bold green")  # fmt: skip
    say(_("The evidence is in {folder}. One receipt by hand:", folder=evidence))
    command = [sys.executable, "-m", "hub.proof", "--trust", str(evidence / TRUSTED_ROOT)]
    print("  " + shlex.join([*command, str(evidence / SENDER.slug / SENT)]))


# --- Their means ------------------------------------------------------------------------


def forge(database: Path, position: int, old: bytes, new: bytes) -> list[str]:
    """Change an event's bytes behind the hub's back; what was done, as an operator types it."""
    with closing(sqlite3.connect(database)) as connection, connection:
        guards = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'events'"
        ).fetchall()
        for name, _sql in guards:
            connection.execute(f'DROP TRIGGER "{name}"')
        (state,) = connection.execute(
            "SELECT state FROM events WHERE position = ?", (position,)
        ).fetchone()
        require(state.count(old) == 1, _("The event is not the one that was to be changed."))
        connection.execute(
            "UPDATE events SET state = ? WHERE position = ?", (state.replace(old, new), position)
        )
        for _name, sql in guards:
            connection.execute(sql)
    return [
        *(f"DROP TRIGGER {name};" for name, _sql in guards),
        # Shown, not run.
        f"UPDATE events SET state = replace(state, '{old.decode()}', '{new.decode()}')"  # noqa: S608
        f" WHERE position = {position};",
        *(f"CREATE TRIGGER {name} …;" for name, _sql in guards),
    ]


def _file(number: str) -> str:
    return f"cong-van-{number}.pdf"


def _letter(number: str) -> list[str]:
    day = today()
    first, *more = textwrap.wrap(SUBJECTS[number], 24)
    return [
        "      ỦY BAN NHÂN DÂN             CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM",
        "          QUẬN 1                      Độc lập - Tự do - Hạnh phúc",
        "",
        f"     Số: {number}/UBND-VP            "
        f"Quận 1, ngày {day.day:02} tháng {day.month:02} năm {day.year}",
        f"   {first}",
        *(f"     {line}" for line in more),
        "",
        "              Kính gửi:",
        *(f"                 - {recipient.name};" for recipient in RECIPIENTS),
        "",
        "   Văn bản này được gửi qua hệ thống liên thông để thử nghiệm. Bên",
        "gửi ký số, bên nhận ký nhận, và mỗi bước đều có biên nhận kiểm tra",
        "được mà không cần đến hệ thống.",
        "",
        "                                           Nguyễn Văn An",
    ]


def _short(path: Path) -> str:
    """A receipt's path without the exchange id that begins its name."""
    *_id, kind, _receipt, _json = path.name.split(".")
    folders = [part for part in path.parent.parts[1:] if part != RECEIPTS]
    return f"{'/'.join(folders)}: {kind}"


def _names(said: str, position: int) -> bool:
    return str(position) in said.replace(".", " ").replace(":", " ").split()


def _leave(_signal: int, _frame: object) -> NoReturn:
    # As an exception, so that every block above ends what it has begun.
    raise SystemExit(128 + signal.SIGTERM)
