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

STAMPS_TOLD_MAX = 2
"""How many timestamps over one signature are told of."""


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
class Stamper:
    """A time-stamping authority: its certificates (DER), those that issued themselves anchors.

    `until` is the last instant at which its word counts; None where no end is known.
    """

    certificates: tuple[bytes, ...]
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Authorities:
    """Certificates (DER): the trust anchors for signers, and those that lead to them.

    `stampers` are time-stamping authorities, beside those for signers.
    """

    anchors: tuple[bytes, ...]
    others: tuple[bytes, ...] = ()
    stampers: tuple[Stamper, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """What is to be said of a signature as of one moment; see FoundSignature."""

    outcome: Outcome
    reason: str = ""
    chain: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Stamp:
    """A timestamp (RFC 3161) over a signature, or over a later state of the file it stands in.

    `over` is `signature` or `document`. Where `outcome` is valid, an authority that is trusted
    saw the signature at `time`: `then` is what is to be said of it as of that. It rests on the
    certificates `rests_on` (DER). Else `reason` is a code word, and `time` only what it states.
    `authority` is who made it, by the word of its certificate. Revocation is not looked at here.
    """

    over: str
    outcome: Outcome
    reason: str = ""
    time: datetime | None = None
    authority: str = ""
    rests_on: tuple[bytes, ...] = field(default=(), repr=False)
    then: Standing | None = None


@dataclass(frozen=True, slots=True)
class FoundSignature:
    """One signature: whether it holds, by whom, and when the signer says it was made.

    `outcome`, `reason` and `chain` are as of the moment of the examination. `reason` is a code
    word, empty where it is valid. `chain` is its certificate and those above
    it (DER), only as far as they were found. Revocation is not looked at here. `issuer` is who
    issued the certificate, by its own word. `stamps` are the timestamps that tell most, at most
    `STAMPS_TOLD_MAX`: the valid ones first, of these the earliest.
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
    stamps: tuple[Stamp, ...] = ()


def request(
    content: bytes, signature: bytes | None, authorities: Authorities, at: datetime, form: str
) -> bytes:
    """A request: about a PDF, a content with its detached signature, or an edXML package."""
    header = {
        "form": form,
        "at": at.isoformat(),
        "anchors": _texts(authorities.anchors),
        "others": _texts(authorities.others),
        "stampers": [
            {"certificates": _texts(each.certificates), "until": _time(each.until)}
            for each in authorities.stampers
        ],
        "content_bytes": len(content),
        "signature_bytes": None if signature is None else len(signature),
    }
    return framed(header) + (signature or b"") + content


def framed(members: Mapping[str, Any]) -> bytes:
    """A JSON object behind its length."""
    data = json.dumps(members).encode()
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


def authorities_in(header: Mapping[str, Any]) -> Authorities:
    """Whom a request's header names."""
    return Authorities(
        _ders(header["anchors"]),
        _ders(header["others"]),
        tuple(
            Stamper(_ders(each["certificates"]), _instant(each["until"]))
            for each in header["stampers"]
        ),
    )


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
            chain=_ders(each["chain"]),
            stamps=tuple(map(_stamp_of, each["stamps"])),
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
                    "signed_at": _time(each.signed_at),
                    "chain": _texts(each.chain),
                    "stamps": [_stamp(stamp) for stamp in each.stamps],
                }
                for each in found
            ]
        }
    )


def _stamp_of(said: Mapping[str, Any]) -> Stamp:
    then = said["then"]
    return Stamp(
        over=said["over"],
        outcome=Outcome(said["outcome"]),
        reason=said["reason"],
        time=_instant(said["time"]),
        authority=said["authority"],
        rests_on=_ders(said["rests_on"]),
        then=then and Standing(Outcome(then["outcome"]), then["reason"], _ders(then["chain"])),
    )


def _stamp(stamp: Stamp) -> dict[str, Any]:
    then = stamp.then
    return {
        "over": stamp.over,
        "outcome": stamp.outcome.value,
        "reason": stamp.reason,
        "time": _time(stamp.time),
        "authority": stamp.authority,
        "rests_on": _texts(stamp.rests_on),
        "then": then
        and {
            "outcome": then.outcome.value,
            "reason": then.reason,
            "chain": _texts(then.chain),
        },
    }


def _instant(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _time(at: datetime | None) -> str:
    return at.isoformat() if at else ""


def _texts(ders: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(der).decode() for der in ders]


def _ders(texts: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(base64.b64decode(text) for text in texts)
