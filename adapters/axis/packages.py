"""Packages of the axis made of what the hub knows, and read into what the hub asks for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from adapters.axis.edxml.errors import EdxmlRefused, FieldInvalid
from adapters.axis.edxml.model import DocumentPackage, Organ, Scratch, StatusPackage
from adapters.axis.edxml.names import RECALL
from adapters.axis.edxml.reader import DEFAULT_LIMITS, Reading, read
from adapters.axis.edxml.writer import write_document, write_status
from adapters.axis.packing import Earlier, package_of, recall_of
from adapters.axis.reports import Report, report_of, status_package
from adapters.axis.saying import (
    Making,
    business_of,
    number_and_notation,
    relates_to_of,
    required,
    to_payload,
)
from hub.application.axis import CameDocument, CameStatus, GoingDocument, GoingStatus, PackageUnfit

_NAME_CHARS_MAX = 200


class EdxmlPackages:
    """The port AxisPackages. `scratch` makes the files that contents are decoded into."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch

    def document(self, going: GoingDocument, contents: Sequence[BinaryIO], out: BinaryIO) -> None:
        """See AxisPackages."""
        with _unfit():
            write_document(_package(going), contents, out, self._scratch)

    def recall(self, going: GoingDocument, reason: str, at: datetime, out: BinaryIO) -> None:
        """See AxisPackages."""
        with _unfit():
            write_document(recall_of(_package(going), reason, at), [], out, self._scratch)

    def status(self, going: GoingStatus, out: BinaryIO) -> None:
        """See AxisPackages."""
        report = Report(
            code=going.code,
            by=going.by,
            to=going.to,
            document_id=going.document_id,
            document_code=going.document_code,
            issued_on=going.issued_on,
            reason=going.reason,
            at=going.at,
        )
        with _unfit():
            write_status(status_package(report, Organ(organ_id=going.by, name=going.name)), out)

    def read(self, package: BinaryIO) -> CameDocument | CameStatus:
        """See AxisPackages."""
        with _unfit():
            reading = read(package, self._scratch, DEFAULT_LIMITS)
            try:
                if isinstance(reading.package, StatusPackage):
                    return _status(reading.package)
                return _Came.of(reading, reading.package)
            except EdxmlRefused:
                reading.close()
                raise


@dataclass(frozen=True, slots=True)
class _Came:
    """The port CameDocument."""

    reading: Reading
    package: DocumentPackage
    sender: str
    recipients: tuple[str, ...]
    document_id: str
    business_type: str
    earlier_id: str | None
    fingerprint: bytes
    is_signed: bool
    contents: Sequence[tuple[str, int, BinaryIO]]

    @classmethod
    def of(cls, reading: Reading, package: DocumentPackage) -> _Came:
        header, business = package.header, business_of(package)
        sender = required(header.sender.organ_id if header.sender else None, "From/OrganId")
        earlier = relates_to_of(business)
        if package.business_type == RECALL:
            earlier = business.document_id or header.document_id
        described = zip(package.attachments, reading.contents, strict=True)
        return cls(
            reading=reading,
            package=package,
            sender=sender,
            recipients=tuple(each.organ_id for each in header.to if each.organ_id),
            document_id=header.document_id or _called(package),
            business_type=package.business_type,
            earlier_id=earlier,
            fingerprint=bytes.fromhex(package.fingerprint()),
            is_signed=package.signed,
            contents=[(each.sha256, each.size, content) for each, content in described],
        )

    def payload(
        self,
        *,
        hub: str,
        request_id: str,
        nonce: str,
        at: datetime,
        relates_to: str | None,
        members: Mapping[str, Any],
    ) -> bytes:
        making = Making(
            hub=hub,
            request_id=request_id,
            nonce=nonce,
            created_at=at,
            relates_to=relates_to,
            members=members,
        )
        with _unfit():
            return to_payload(self.package, making)

    def close(self) -> None:
        self.reading.close()


def _package(going: GoingDocument) -> DocumentPackage:
    said = {**json.loads(going.payload), "recipients": list(going.recipients)}
    earlier = None if going.earlier is None else Earlier(going.earlier, going.recipients)
    return package_of(
        said, organ=_organs(going.names), document_id=going.document_id, earlier=earlier
    )


def _organs(names: Mapping[str, str]) -> Callable[[str], Organ]:
    def organ(code: str) -> Organ:
        return Organ(organ_id=code, name=names.get(code, "")[:_NAME_CHARS_MAX] or None)

    return organ


def _status(package: StatusPackage) -> CameStatus:
    report = report_of(package)
    return CameStatus(
        code=report.code,
        by=report.by,
        to=report.to,
        document_id=report.document_id,
        document_code=report.document_code,
        issued_on=report.issued_on,
    )


def _called(package: DocumentPackage) -> str:
    """A name for a document that has none: such senders are told apart by number and date."""
    number, notation = number_and_notation(package.header)
    issued = package.header.promulgation and package.header.promulgation.date
    if not number:
        raise FieldInvalid("there is neither a DocumentId nor a number", where="DocumentId")
    return f"{issued or ''},{number}/{notation or ''}"


@contextmanager
def _unfit() -> Any:
    try:
        yield
    except EdxmlRefused as refused:
        raise PackageUnfit(refused.reason, str(refused), refused.where) from refused
