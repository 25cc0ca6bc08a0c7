"""Status reports: what the hub says of one, and the edXML package that says the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from adapters.axis.edxml import names
from adapters.axis.edxml.errors import FieldInvalid, StatusUnknown
from adapters.axis.edxml.model import Organ, ResponseFor, Staff, StatusHeader, StatusPackage
from adapters.axis.reading import read_date, read_time, status_code, write_date, write_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What has become of a document at an organisation, or that its sender wants it back.

    `code` is one of the nine. `by` says it, `to` is the other side: the sender of the document,
    and for 13 the recipient who is asked. The document is known by `document_id`, which is the
    sender's own, and by `document_code`, number/notation; receivers match by either.
    """

    code: str
    by: str
    to: str | None
    document_id: str | None
    document_code: str | None
    issued_on: date | None = None
    reason: str | None = None
    at: datetime | None = None
    staff: Staff | None = None


def report_of(package: StatusPackage) -> Report:
    """What a status package says.

    Raises StatusUnknown, and FieldInvalid when it does not say by whom or about what.
    """
    header = package.header
    code = status_code(header.code)
    if code not in names.STATUS_CODES:
        raise StatusUnknown("the StatusCode is none of the nine", where="StatusCode")
    about = header.response_for or ResponseFor()
    if header.sender is None or not header.sender.organ_id:
        raise FieldInvalid("it is missing", where="From/OrganId")
    if not (about.document_id or about.code):
        raise FieldInvalid("it names no document", where="ResponseFor")
    return Report(
        code=code,
        by=header.sender.organ_id,
        to=about.organ_id,
        document_id=about.document_id,
        document_code=about.code,
        issued_on=read_date(about.date),
        reason=header.description,
        at=read_time(header.timestamp),
        staff=header.staff,
    )


def status_package(report: Report, sender: Organ) -> StatusPackage:
    """The package for a report; `sender` is `by` with name and address. Raises StatusUnknown."""
    if report.code not in names.STATUS_CODES:
        raise StatusUnknown("the code is none of the nine", where="StatusCode")
    about = ResponseFor(
        organ_id=report.to,
        code=report.document_code,
        document_id=report.document_id,
        date=None if report.issued_on is None else write_date(report.issued_on),
    )
    return StatusPackage(
        header=StatusHeader(
            sender=sender,
            response_for=about,
            staff=report.staff,
            code=report.code,
            description=report.reason,
            timestamp=None if report.at is None else write_time(report.at),
        )
    )
