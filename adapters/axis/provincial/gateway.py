"""Talks to a provincial wrapper of the kind that Lạng Sơn runs.

Known of it: paths, parameters, the two headers, that a login gives a bearer token, that a
package goes as multipart, and `{success, data}`. Not known: the names in `Names`, which are
settings for that reason.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx2

from adapters.axis.http import (
    Deadlines,
    HttpCaller,
    ReplyLimits,
    UnexpectedStatus,
    whole,
)
from adapters.axis.reading import write_date
from adapters.axis.replies import (
    described,
    items_of,
    members_of,
    package_in,
    text_of,
    waiting_of,
)
from adapters.axis.sending import body, digest_of, require_plain, require_same
from hub.application.axis import (
    AxisAgency,
    AxisRefused,
    AxisReplyUnreadable,
    MessageKind,
    Prepared,
    Relayed,
    TransportState,
    Waiting,
)
from hub.application.ports import MayAct

T = TypeVar("T")

_UNAUTHORIZED = 401
_SECRETS_MAX = 2


@dataclass(frozen=True, slots=True)
class Names:
    """What such a wrapper calls things. Taken from one description; ask the province."""

    login_path: str = "/v1/login"
    user: str = "userName"
    password: str = "password"  # noqa: S105 - the name of a field
    application: str = "appCode"
    token: str = "token"  # noqa: S105 - the name of a field
    file: str = "file"
    error_code: str = "errorCode"
    error_text: str = "message"


@dataclass(frozen=True, slots=True)
class ProvincialSettings:
    """Where the wrapper is, and who we are there; `secrets` are one, or two during a change."""

    endpoint: str
    system_id: str
    user: str
    application: str
    secrets: tuple[str, ...] = field(repr=False)
    password: str = field(repr=False)
    names: Names = Names()
    deadlines: Deadlines = Deadlines()
    limits: ReplyLimits = ReplyLimits()

    def __post_init__(self) -> None:
        if not 1 <= len(self.secrets) <= _SECRETS_MAX or not all(self.secrets):
            raise ValueError("a wrapper has one secret, or two while it is being changed")


class ProvincialAxis:
    """An AxisGateway over a provincial wrapper.

    What `prepare` records holds neither token nor secret; all the rest of the request is
    repeated to the byte.
    """

    def __init__(
        self,
        settings: ProvincialSettings,
        transport: httpx2.AsyncBaseTransport | None = None,
        *,
        may_act: MayAct,
    ) -> None:
        self._settings = settings
        self._endpoint = settings.endpoint.rstrip("/")
        self._http = HttpCaller(settings.deadlines, transport, may_act)
        self._secret = settings.secrets[0]
        self._token: str | None = None
        self._logging_in = asyncio.Lock()

    @property
    def narrows(self) -> bool:
        """See AxisGateway."""
        return False

    async def waiting(
        self, kind: MessageKind, *, since: date | None = None, until: date | None = None
    ) -> Sequence[Waiting]:
        """See AxisGateway."""
        query = {"messageType": kind.value}
        if since is not None:
            query["fromDate"] = write_date(since)
        if until is not None:
            query["toDate"] = write_date(until)
        path = f"/v1/syncReceivedEdocList?{urlencode(query)}"
        reply = await self._call("GET", path, self._reply)
        return [waiting_of(item) for item in items_of(reply.get("data"))]

    async def fetch(self, axis_id: str, into: BinaryIO, raw: BinaryIO | None = None) -> int:
        """See AxisGateway."""
        beginning = into.tell()

        async def read(response: httpx2.Response) -> int:
            limit = self._settings.limits.package_bytes
            # A second attempt, with a new token, begins again.
            into.seek(beginning)
            into.truncate()
            reply, size = await package_in(response, into, limit, raw)
            self._require_success(reply)
            if not size:
                raise AxisReplyUnreadable("the answer holds no package")
            return size

        path = f"/v1/getEdoc?{urlencode({'docId': axis_id})}"
        return await self._call("GET", path, read, is_transfer=True)

    def prepare(
        self, kind: MessageKind, package: BinaryIO, *, sender: str, recipients: Sequence[str] = ()
    ) -> Prepared:
        """See AxisGateway. `recipients` are taken from the package by the axis."""
        require_plain("sender", sender)
        size, sha256 = digest_of(package)
        request = {
            "v": 1,
            "size": size,
            "sha256": sha256.hex(),
            # Nothing of a package of that digest can foresee it, so it stands nowhere in it.
            "boundary": f"lienthong-{sha256.hex()[:32]}",
            "fields": {"from": sender, "serviceType": "eDoc", "messageType": kind.value},
        }
        return Prepared(json.dumps(request, separators=(",", ":")).encode())

    async def send(self, prepared: Prepared, package: BinaryIO) -> str:
        """See AxisGateway."""
        request = json.loads(prepared.request)
        head, tail = _around(request, self._settings.names.file)

        async def read(response: httpx2.Response) -> str:
            data = (await self._reply(response)).get("data")
            found = data.get("docId") if isinstance(data, dict) else data
            if not (axis_id := text_of(found)):
                raise AxisReplyUnreadable("the answer has no docId")
            return axis_id

        sha256 = bytes.fromhex(request["sha256"])
        await require_same(package, request["size"], sha256)
        headers = [
            ("Content-Type", f"multipart/form-data; boundary={request['boundary']}"),
            ("Content-Length", str(len(head) + request["size"] + len(tail))),
        ]
        return await self._call(
            "POST",
            "/v1/sendEdoc",
            read,
            headers,
            lambda: body(package, sha256, before=head, after=tail),
            is_transfer=True,
        )

    async def relayed(self, kind: MessageKind, axis_id: str) -> Sequence[Relayed] | None:
        """See AxisGateway. Not offered."""
        return None

    async def mark(self, axis_id: str, state: TransportState) -> None:
        """See AxisGateway."""
        said = json.dumps({"docId": axis_id, "status": state.value}).encode()
        await self._call("POST", "/v1/updateStatus", self._reply, *_json(said))

    async def count(self, kind: MessageKind) -> int | None:
        """See AxisGateway. Not offered."""
        return None

    async def agencies(self) -> Sequence[AxisAgency] | None:
        """See AxisGateway. Not offered."""
        return None

    async def close(self) -> None:
        """See AxisGateway."""
        await self._http.close()

    async def _reply(self, response: httpx2.Response) -> dict[str, Any]:
        reply = members_of(await whole(response, self._settings.limits.reply_bytes))
        self._require_success(reply)
        return reply

    def _require_success(self, reply: dict[str, Any]) -> None:
        success = reply.get("success")
        if not isinstance(success, bool):
            raise AxisReplyUnreadable("the answer does not say whether it succeeded")
        if not success:
            code = text_of(reply.get(self._settings.names.error_code)) or ""
            raise AxisRefused(code[:20], described(reply.get(self._settings.names.error_text)))

    async def _call(
        self,
        method: str,
        path: str,
        read: Callable[[httpx2.Response], Awaitable[T]],
        headers: Sequence[tuple[str, str]] = (),
        content: Callable[[], bytes | AsyncIterator[bytes]] = bytes,
        *,
        is_transfer: bool = False,
    ) -> T:
        """Ask, once more with a new token, and once more with the other secret.

        Both only after a plain refusal, which says that the first was not carried out.
        """
        secrets = [self._secret, *(s for s in self._settings.secrets if s != self._secret)]
        has_new_token = False
        while True:
            token = self._token or await self._log_in(None)
            own = [
                ("Host", urlsplit(self._endpoint).netloc),
                ("X-SystemId", self._settings.system_id),
                ("X-SecretKey", secrets[0]),
                ("Authorization", f"Bearer {token}"),
            ]
            try:
                async with self._http.exchange(
                    method,
                    self._endpoint + path,
                    [*own, *headers],
                    content(),
                    is_transfer=is_transfer,
                ) as response:
                    answer = await read(response)
                self._secret = secrets[0]
                return answer
            except UnexpectedStatus as refusal:
                if refusal.status != _UNAUTHORIZED or has_new_token:
                    raise
                await self._log_in(token)
                has_new_token = True
            except AxisRefused as refusal:
                del secrets[0]
                if refusal.code != AxisRefused.CREDENTIALS or not secrets:
                    raise

    async def _log_in(self, refused: str | None) -> str:
        """A token other than the refused one; several calls at once log in only once."""
        async with self._logging_in:
            if self._token is not None and self._token != refused:
                return self._token
            names, settings = self._settings.names, self._settings
            said = {
                names.user: settings.user,
                names.password: settings.password,
                names.application: settings.application,
            }
            headers, content = _json(json.dumps(said).encode())
            host = ("Host", urlsplit(self._endpoint).netloc)
            url = self._endpoint + names.login_path
            async with self._http.exchange("POST", url, [host, *headers], content()) as response:
                data = (await self._reply(response)).get("data")
            token = text_of(data.get(names.token) if isinstance(data, dict) else data)
            if not token or not token.isascii() or not token.isprintable():
                raise AxisReplyUnreadable("the login gives no token")
            self._token = token
            return token


def _json(said: bytes) -> tuple[list[tuple[str, str]], Callable[[], bytes]]:
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(said)))]
    return headers, lambda: said


def _around(request: dict[str, Any], file_field: str) -> tuple[bytes, bytes]:
    """What stands before and after a package in a body of multipart/form-data (RFC 7578)."""
    boundary = request["boundary"]
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in request["fields"].items()
    ]
    file = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{file_field}"; '
        f'filename="{request["sha256"]}.edxml"\r\nContent-Type: application/octet-stream\r\n\r\n'
    )
    return "".join([*parts, file]).encode("ascii"), f"\r\n--{boundary}--\r\n".encode("ascii")
