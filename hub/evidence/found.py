"""What is found out about signatures in documents, and how another process is asked for it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

EXAMINED_BYTES_MAX = 64 << 20
"""How large a file is looked at."""

HEADER_BYTES_MAX = 4 << 20
LENGTH_BYTES = 4


class Outcome(StrEnum):
    """What became of one signature."""

    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


class Signer(StrEnum):
    """Who signs, per NĐ 30/2020 Art. 5: the person in charge, and the agency."""

    PERSON = "person"
    AGENCY = "agency"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Authorities:
    """Certificates (DER): the trust anchors for signers, and those that lead to them.

    `stampers` are anchors of time-stamping authorities, beside those for signers.
    """

    anchors: tuple[bytes, ...]
    others: tuple[bytes, ...] = ()
    stampers: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundSignature:
    """One signature: whether it holds, by whom, and when the signer says it was made.

    `reason` is a code word, empty where it is valid. `chain` is its certificate and those above
    it (DER), only as far as they were found. Revocation is not looked at here. `issuer` is who
    issued the certificate, by its own word. `stamp` is what became of a timestamp over the
    signature (`valid`, `invalid`, `unknown`), empty where there is none, and `stamped_at` the time
    it states.
    """

    form: str
    outcome: Outcome
    reason: str = ""
    signer: Signer = Signer.UNKNOWN
    name: str = ""
    organisation: str = ""
    issuer: str = ""
    signed_at: datetime | None = None
    chain: tuple[bytes, ...] = field(default=(), repr=False)
    stamp: str = ""
    stamped_at: datetime | None = None


def request(
    content: bytes, signature: bytes | None, authorities: Authorities, at: datetime, form: str
) -> bytes:
    """A request: about a PDF, a content with its detached signature, or an edXML package."""
    header = {
        "form": form,
        "at": at.isoformat(),
        "anchors": [_text(each) for each in authorities.anchors],
        "others": [_text(each) for each in authorities.others],
        "stampers": [_text(each) for each in authorities.stampers],
        "content_bytes": len(content),
        "signature_bytes": None if signature is None else len(signature),
    }
    return framed(header) + (signature or b"") + content


def framed(members: Mapping[str, Any]) -> bytes:
    """A JSON object behind its length."""
    data = json.dumps(members).encode()
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


def answer_of(members: Mapping[str, Any]) -> list[FoundSignature]:
    """What an answer says. Raises ValueError or KeyError for one that makes no sense."""
    return [
        FoundSignature(
            form=each["form"],
            outcome=Outcome(each["outcome"]),
            reason=each["reason"],
            signer=Signer(each["signer"]),
            name=each["name"],
            organisation=each["organisation"],
            issuer=each["issuer"],
            signed_at=_instant(each["signed_at"]),
            chain=tuple(base64.b64decode(der) for der in each["chain"]),
            stamp=each["stamp"] and Outcome(each["stamp"]).value,
            stamped_at=_instant(each["stamped_at"]),
        )
        for each in members["signatures"]
    ]


def answer(found: Sequence[FoundSignature]) -> bytes:
    """What was found, as `answer_of` reads it behind the length."""
    return framed(
        {
            "signatures": [
                {
                    "form": each.form,
                    "outcome": each.outcome.value,
                    "reason": each.reason,
                    "signer": each.signer.value,
                    "name": each.name,
                    "organisation": each.organisation,
                    "issuer": each.issuer,
                    "signed_at": each.signed_at.isoformat() if each.signed_at else "",
                    "chain": [_text(der) for der in each.chain],
                    "stamp": each.stamp,
                    "stamped_at": each.stamped_at.isoformat() if each.stamped_at else "",
                }
                for each in found
            ]
        }
    )


def _instant(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
