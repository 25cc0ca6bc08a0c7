"""What each call of the axis does, and what it answers."""

from __future__ import annotations

import base64
import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from adapters.axis.simulator.correspondent import ANSWERED_WITH, reply_to, status_of
from adapters.axis.simulator.faults import Fault
from adapters.axis.simulator.habits import Glance, Habits, NotAPackage, glance, handed_on
from adapters.axis.simulator.signing import Signed, unpadded
from adapters.axis.simulator.store import DONE, STATES, Agency, Delivery, Package, Store

BAD_FILE, WRONG_CREDENTIALS, RECEIVER_UNKNOWN, SENDER_UNKNOWN = "10", "15", "18", "19"
INTERNAL_ERROR, FILE_ERROR, NOT_TO_STANDARD, RECEIVER_LOCKED = "20", "21", "22", "23"

_BLOCK_BYTES = 192 * 1024  # a multiple of 3: base64 of a block needs no padding


@dataclass(frozen=True, slots=True)
class Body:
    """What came with a request: a package in a file, with its SHA-256, or a little JSON."""

    small: bytes = b""
    file: Path | None = None
    sha256: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back: members of a JSON object, and the file that is one of them, or is all."""

    members: Mapping[str, Any] = field(default_factory=dict)
    data_file: Path | None = None
    raw_file: Path | None = None
    is_raw: bool = False

    def length(self) -> int:
        """How many bytes it has."""
        if self.is_raw:
            return self.raw_file.stat().st_size if self.raw_file else 0
        head, tail = self._around()
        size = self.data_file.stat().st_size if self.data_file else 0
        return len(head) + (size + 2) // 3 * 4 + len(tail)

    def pieces(self) -> Iterator[bytes]:
        """The bytes, in pieces."""
        head, tail = (b"", b"") if self.is_raw else self._around()
        if head:
            yield head
        if (file := self.raw_file or self.data_file) is not None:
            with file.open("rb") as stream:
                while block := stream.read(_BLOCK_BYTES):
                    yield block if self.is_raw else base64.b64encode(block)
        if tail:
            yield tail

    def _around(self) -> tuple[bytes, bytes]:
        # ASCII with escapes: some clients read a reply as US-ASCII, others by their locale.
        text = json.dumps(self.members, separators=(",", ":")).encode("ascii")
        if self.data_file is None:
            return text, b""
        return text[:-1] + b',"data":"', b'"}'


def succeeded(**members: Any) -> Answer:
    """The answer of a call that was carried out."""
    return Answer({"status": "OK", "ErrorCode": "0", "ErrorDesc": "", **members})


def failed(code: str, why: str) -> Answer:
    """The answer of one that was not; clients lose the code without DocId and data."""
    refused = {"status": "FAIL", "ErrorCode": code, "ErrorDesc": why, "DocId": "", "data": ""}
    return Answer(refused)


class Calls:
    """The axis's calls over its store."""

    def __init__(self, store: Store, habits: Habits, clock: Callable[[], datetime]) -> None:
        self._store, self._habits, self._clock = store, habits, clock
        # Two copies of one request must not both find that it is new.
        self._sending = threading.Lock()
        self._table: dict[str, Callable[[Signed, Body, Fault | None], Answer]] = {
            "getReceivedEdocList": self._received,
            "getEdoc": self._get,
            "downloadEdoc": self._download,
            "countReceiveEdoc": self._count("edoc"),
            "countReceiveStatus": self._count("status"),
            "sendEdoc": self._send,
            "getSentEdocList": self._sent,
            "updateStatus": self._update,
            "getAgenciesList": self._agencies,
            "getAgenciesListQD20": self._agencies_qd20,
            "getSynchronizeUnit": self._units,
            "registerAgency": self._register,
            "deleteAgency": self._delete,
        }

    def is_known(self, call: str) -> bool:
        """Whether there is such a call."""
        return call in self._table

    def run(self, call: str, signed: Signed, body: Body, fault: Fault | None) -> Answer:
        """Carry out a call."""
        return self._table[call](signed, body, fault)

    def _received(self, signed: Signed, _body: Body, fault: Fault | None) -> Answer:
        kind = signed.parameters.get("messagetype", "")
        since, until = signed.parameters.get("fromdate"), signed.parameters.get("todate")
        found = [
            delivery
            for delivery in self._store.waiting(signed.system_id, kind)
            if (not since or delivery.at[:10] >= since) and (not until or delivery.at[:10] <= until)
        ]
        return succeeded(data=_as_listed([_received_item(each) for each in found], fault))

    def _get(self, signed: Signed, _body: Body, fault: Fault | None) -> Answer:
        delivery = self._delivery(signed)
        if delivery is None:
            return failed(FILE_ERROR, "Không tìm thấy văn bản")
        if fault is Fault.WRONG_BASE64:
            return succeeded(data="@@@ not base64 @@@")
        done = succeeded()
        return Answer(done.members, data_file=delivery.package.file)

    def _download(self, signed: Signed, _body: Body, _fault: Fault | None) -> Answer:
        # Any JSON would be saved as the package: a failure is an empty body.
        delivery = self._delivery(signed)
        return Answer(raw_file=delivery.package.file if delivery else None, is_raw=True)

    def _count(self, kind: str) -> Callable[[Signed, Body, Fault | None], Answer]:
        def count(signed: Signed, _body: Body, _fault: Fault | None) -> Answer:
            return succeeded(count=len(self._store.waiting(signed.system_id, kind)))

        return count

    def _send(self, signed: Signed, body: Body, fault: Fault | None) -> Answer:
        if body.file is None or unpadded(body.sha256) != signed.parameters.get("hash-file"):
            return failed(BAD_FILE, "Tệp không khớp hash-file")
        with self._sending:
            return self._taken(signed, body.file, fault)

    def _taken(self, signed: Signed, file: Path, fault: Fault | None) -> Answer:
        known = self._store.known(signed.signature)
        if known is not None and fault is not Fault.SECOND_ID:
            return succeeded(DocId=known)
        sender, kind = signed.parameters.get("from", ""), signed.parameters.get("messagetype", "")
        if sender not in self._store.codes(signed.system_id):
            return failed(SENDER_UNKNOWN, "Đơn vị gửi chưa đăng ký")
        try:
            seen = glance(file)
        except NotAPackage:
            return failed(NOT_TO_STANDARD, "Gói tin không đúng chuẩn edXML")
        wanted = seen.recipients if kind == "edoc" else [seen.concerned]
        recipients = _named(signed.parameters.get("to")) or [each for each in wanted or [] if each]
        if refusal := self._refusal(recipients):
            return refusal
        if (changed := handed_on(file, self._habits, self._clock())) is not None:
            file.write_bytes(changed)
        kept = self._store.new_file()
        file.rename(kept)
        package = Package(str(uuid4()), sender, kind, kept, seen.title, seen.notation, "")
        copies = 2 if fault is Fault.DUPLICATE else 1
        axis_id = self._store.take(package, recipients, signed.signature, copies=copies)
        if kind == "edoc":
            self._correspond(seen, axis_id, recipients)
        return succeeded(DocId=axis_id)

    def _correspond(self, seen: Glance, axis_id: str, recipients: Sequence[str]) -> None:
        """Let those who answer by themselves take the package, and answer."""
        for code in set(recipients) & set(self._habits.correspondents):
            for each in self._store.sent_as(axis_id):
                if each.recipient == code:
                    self._store.mark(each.id, DONE, "")
            for status in ANSWERED_WITH:
                self._write(code, seen, "status", status_of(seen, code, status, self._clock()))
            number = len(self._store.every_delivery())
            self._write(code, seen, "edoc", reply_to(seen, code, number, self._clock()))

    def _write(self, sender: str, seen: Glance, kind: str, data: bytes) -> None:
        file = self._store.new_file()
        file.write_bytes(data)
        package = Package(str(uuid4()), sender, kind, file, seen.title, seen.notation, "")
        self._store.take(package, [seen.sender], f"by itself {uuid4()}")

    def _refusal(self, recipients: Sequence[str]) -> Answer | None:
        known = {agency.code for agency in self._store.agencies() if not agency.deleted}
        if not recipients or not known.issuperset(recipients):
            return failed(RECEIVER_UNKNOWN, "Đơn vị nhận không tồn tại")
        if any(self._store.is_locked(code) for code in recipients):
            return failed(RECEIVER_LOCKED, "Đơn vị nhận đã bị khóa")
        return None

    def _sent(self, signed: Signed, _body: Body, fault: Fault | None) -> Answer:
        found = self._store.sent(signed.system_id, signed.parameters.get("docid", ""))
        return succeeded(data=_as_listed([_sent_item(each) for each in found], fault))

    def _update(self, signed: Signed, _body: Body, _fault: Fault | None) -> Answer:
        delivery, state = self._delivery(signed), signed.parameters.get("status", "")
        if delivery is None or state not in STATES:
            return failed(FILE_ERROR, "Không tìm thấy văn bản hoặc trạng thái")
        self._store.mark(delivery.id, state, signed.parameters.get("description", ""))
        return succeeded()

    def _agencies(self, _signed: Signed, _body: Body, fault: Fault | None) -> Answer:
        found = [
            {**_agency_item(each), "pid": each.pid, "oldCode": each.old_code}
            for each in self._store.agencies()
            if not each.deleted
        ]
        return succeeded(data=_as_listed(found, fault))

    def _agencies_qd20(self, signed: Signed, _body: Body, fault: Fault | None) -> Answer:
        level = signed.parameters.get("level", "")
        found = [
            {**_agency_item(each), "code102": each.old_code}
            for each in self._store.agencies()
            if not each.deleted and str(each.code.count(".") + 1) == level
        ]
        return succeeded(data=_as_listed(found, fault))

    def _units(self, _signed: Signed, _body: Body, fault: Fault | None) -> Answer:
        found = [
            {
                **_agency_item(each),
                "pid": each.pid,
                "version": each.version,
                "centerCode": each.system_id,
                "deleted": each.deleted,
                "modifyDate": each.modified_at,
                "isAgency": True,
            }
            for each in self._store.agencies()
        ]
        return succeeded(data=_as_listed(found, fault))

    def _register(self, signed: Signed, body: Body, _fault: Fault | None) -> Answer:
        try:
            said = json.loads(body.small)
            code, name = str(said["code"]), str(said.get("name", ""))
            mail, pid = str(said.get("mail", "")), str(said.get("pcode", ""))
        except (ValueError, KeyError, TypeError, AttributeError):
            return failed(INTERNAL_ERROR, "Dữ liệu không đúng")
        self._store.register(signed.system_id, code, name=name, mail=mail, pid=pid)
        return succeeded()

    def _delete(self, signed: Signed, _body: Body, _fault: Fault | None) -> Answer:
        if self._store.delete(signed.system_id, signed.parameters.get("agencycode", "")):
            return succeeded()
        return failed(RECEIVER_UNKNOWN, "Đơn vị không tồn tại")

    def _delivery(self, signed: Signed) -> Delivery | None:
        return self._store.delivery(signed.system_id, signed.parameters.get("docid", ""))


def _named(to: str | None) -> list[str]:
    """The receivers of the header `to`: a JSON array, or one text with or without quotes."""
    if not to:
        return []
    try:
        found = json.loads(to)
    except ValueError:
        found = to
    return [str(each) for each in found] if isinstance(found, list) else [str(found)]


def _as_listed(items: list[dict[str, Any]], fault: Fault | None) -> list[dict[str, Any]]:
    if fault is Fault.DUPLICATE:
        return [item for item in items for _time in range(2)]
    if fault is Fault.OUT_OF_ORDER:
        random.Random(len(items)).shuffle(items)  # noqa: S311 - any other order will do
    return items


def _received_item(delivery: Delivery) -> dict[str, Any]:
    return {
        "docId": delivery.id,
        "serviceType": "eDoc",
        "messageType": delivery.package.kind,
        "created_time": delivery.at,
        "updated_time": delivery.updated_at,
        "from": delivery.package.sender,
        "to": delivery.recipient,
        "status": delivery.state,
        "status_desc": delivery.state_text,
    }


def _sent_item(delivery: Delivery) -> dict[str, Any]:
    return {
        "serviceType": "eDoc",
        "senderDocId": delivery.package.id,
        "receiverDocId": delivery.id,
        "fromCode": delivery.package.sender,
        "toCode": delivery.recipient,
        "sendStatus": "done",
        "sendStatusDesc": "",
        "receiveStatus": delivery.state,
        "receiveStatusDesc": delivery.state_text,
        "title": delivery.package.title,
        "notation": delivery.package.notation,
        "sentTime": delivery.package.at,
        "receivedTime": delivery.updated_at,
        "messageType": delivery.package.kind,
    }


def _agency_item(agency: Agency) -> dict[str, Any]:
    return {"id": str(agency.id), "code": agency.code, "name": agency.name, "mail": agency.mail}
