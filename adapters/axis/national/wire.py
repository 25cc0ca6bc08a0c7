"""Requests of the national axis, byte for byte as the vendor's client makes them.

Every parameter is a header. The signature covers the parameters and nothing else: neither
method, path nor body; the body of a package is covered by `hash-file`, in the client's own
spelling of SHA-256.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from adapters.axis.reading import VIETNAM
from adapters.axis.sending import require_plain

PREFIX: Final = "XroadVnpt-"
HASH_HEADER: Final = PREFIX + "hash-header"
SIGN_HEADER: Final = PREFIX + "sign-header"
SIGN_HEADER_KEY: Final = PREFIX + "sign-header-key"
_CONTENT_TYPE: Final = "Content-Type"
_JSON, _OCTETS = "application/json", "application/octet-stream"
_USER_AGENT = ("User-Agent", "JAVASDKAgent/1.0.0 XRoad/VPCP")
_VERSION = (PREFIX + "version", "3.0.201608")
_HTTP_CLIENT_END = [("Connection", "Keep-Alive")]
_ACCEPT_ENCODING = ("Accept-Encoding", "gzip,deflate")

FILE_END: Final = b"\r\n"
"""Follows a package in the body of `sendEdoc`, and is not part of it."""

Headers = tuple[tuple[str, str], ...]


class Family(Enum):
    """How the vendor's client sends a call."""

    EMPTY = "empty"
    SMALL = "small"
    GET = "get"
    FILE = "file"


FAMILIES: Final = {
    "getReceivedEdocList": Family.EMPTY,
    "getSentEdocList": Family.EMPTY,
    "getAgenciesList": Family.EMPTY,
    "getAgenciesListQD20": Family.EMPTY,
    "getSynchronizeUnit": Family.EMPTY,
    "getEdoc": Family.SMALL,
    "updateStatus": Family.SMALL,
    "deleteAgency": Family.SMALL,
    "countReceiveEdoc": Family.SMALL,
    "countReceiveStatus": Family.SMALL,
    "registerAgency": Family.SMALL,
    "downloadEdoc": Family.GET,
    "sendEdoc": Family.FILE,
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request but for its body, whose length stands in the headers."""

    name: str
    headers: Headers

    @property
    def method(self) -> str:
        """GET or POST."""
        return "GET" if FAMILIES[self.name] is Family.GET else "POST"

    def signed_anew(self, secret: str) -> Call:
        """The same request under another secret: only the signature differs."""
        signed = dict(self.headers)[SIGN_HEADER]
        again = tuple(
            (name, _hmac(secret, signed) if name == HASH_HEADER else value)
            for name, value in self.headers
        )
        return Call(self.name, again)


def call(
    name: str,
    parameters: Mapping[str, str],
    *,
    secret: str,
    timestamp: str,
    host: str,
    body_bytes: int,
) -> Call:
    """A request; `parameters` holds `systemid` and what the call takes, in any order.

    `body_bytes` counts the body without the CRLF behind a package. Raises ValueError for a
    parameter that is not printable ASCII: in a header it would break the signature, or the
    connection.
    """
    family = FAMILIES[name]
    content_type = _OCTETS if family is Family.FILE else _JSON
    # The client puts these three first; among names of one bucket that decides the order.
    first = {"systemid": parameters["systemid"], "timestamp": timestamp}
    whole = {**first, _CONTENT_TYPE: content_type, **parameters}
    ordered = {key: whole[key] for key in in_java_order(whole)}
    for key, value in ordered.items():
        require_plain(key, value)
    signed = _signed_json(ordered)
    lines = []
    for key, value in ordered.items():
        if key == _CONTENT_TYPE and family is not Family.FILE:
            lines.append((_CONTENT_TYPE, value))
        lines.append((PREFIX + key, value))
    if family is Family.FILE:
        lines.insert(0, (_CONTENT_TYPE, content_type))
    lines += [
        (SIGN_HEADER_KEY, ";".join(ordered)),
        (SIGN_HEADER, signed),
        (HASH_HEADER, _hmac(secret, signed)),
        _USER_AGENT,
        _VERSION,
    ]
    return Call(name, (*lines, *_transport_headers(family, host, body_bytes)))


def timestamp_of(at: datetime) -> str:
    """`ddMMyyyy'T'HHmmss+SSSS`: local time, and the milliseconds in four digits, no zone."""
    local = at.astimezone(VIETNAM)
    return f"{local:%d%m%Y}T{local:%H%M%S}+{local.microsecond // 1000:04}"


def hash_file(sha256: bytes) -> str:
    """A SHA-256 digest as the vendor writes it: each byte in hex, without padding zeros."""
    return "".join(f"{byte:x}" for byte in sha256)


def in_java_order(names: Mapping[str, str]) -> list[str]:
    """Names as java.util.HashMap would walk them, given up to 12 of them.

    Any stable order would do for the signature, but this is the one that axis has always seen.
    """
    if len(names) > 12:
        raise ValueError("a call has at most twelve parameters")
    return sorted(names, key=lambda name: (_java_hash(name) & 15, list(names).index(name)))


def _java_hash(text: str) -> int:
    value = 0
    for sign in text:
        value = (31 * value + ord(sign)) & 0xFFFFFFFF
    return value ^ (value >> 16)


def _signed_json(parameters: Mapping[str, str]) -> str:
    members = (f'"{PREFIX}{key}":"{_escaped(value)}"' for key, value in parameters.items())
    return "{" + ",".join(members) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _hmac(secret: str, message: str) -> str:
    return hmac.new(secret.encode(), message.encode("ascii"), hashlib.sha256).hexdigest()


def _transport_headers(family: Family, host: str, body_bytes: int) -> list[tuple[str, str]]:
    length = ("Content-Length", str(body_bytes))
    match family:
        case Family.FILE:
            return [
                ("Cache-Control", "no-cache"),
                ("Pragma", "no-cache"),
                ("Host", host),
                ("Accept", "text/html, image/gif, image/jpeg, */*; q=0.2"),
                ("Connection", "keep-alive"),
                ("Content-Length", str(body_bytes + len(FILE_END))),
            ]
        case Family.GET:
            return [("Host", host), *_HTTP_CLIENT_END, _ACCEPT_ENCODING]
        case Family.SMALL:
            expect = ("Expect", "100-continue")
            return [length, ("Host", host), *_HTTP_CLIENT_END, expect, _ACCEPT_ENCODING]
        case Family.EMPTY:
            return [length, ("Host", host), *_HTTP_CLIENT_END, _ACCEPT_ENCODING]
