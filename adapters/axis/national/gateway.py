"""Talks to the national axis, with one of two secrets while they are being changed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

import httpx2

from adapters.axis.http import Deadlines, HttpCaller, ReplyLimits, whole
from adapters.axis.national.wire import (
    FAMILIES,
    FILE_END,
    Call,
    Family,
    call,
    hash_file,
    timestamp_of,
)
from adapters.axis.reading import write_date
from adapters.axis.replies import (
    items_of,
    members_of,
    package_in,
    require_success,
    required,
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

_SERVICE = {"servicetype": "eDoc"}
_EMPTY_JSON = b"{}"
_SECRETS_MAX = 2


@dataclass(frozen=True, slots=True)
class NationalSettings:
    """Where the axis is, and who we are there.

    `endpoint` is the address that calls are appended to. `secrets` are those that are valid,
    the preferred one first: one, or two while it is being changed.
    """

    endpoint: str
    system_id: str
    secrets: tuple[str, ...] = field(repr=False)
    deadlines: Deadlines = Deadlines()
    limits: ReplyLimits = ReplyLimits()

    def __post_init__(self) -> None:
        if not 1 <= len(self.secrets) <= _SECRETS_MAX or not all(self.secrets):
            raise ValueError("an axis has one secret, or two while it is being changed")


class NationalAxis:
    """An AxisGateway over the operator's own API.

    `clock` gives aware instants. `transport` is for tests.
    """

    def __init__(
        self,
        settings: NationalSettings,
        clock: Callable[[], datetime],
        transport: httpx2.AsyncBaseTransport | None = None,
        *,
        may_act: MayAct,
    ) -> None:
        self._settings, self._clock = settings, clock
        self._endpoint = settings.endpoint.rstrip("/")
        self._host = urlsplit(self._endpoint).netloc
        self._http = HttpCaller(settings.deadlines, transport, may_act)
        self._secret = settings.secrets[0]

    @property
    def narrows(self) -> bool:
        """See AxisGateway."""
        return True

    async def waiting(
        self, kind: MessageKind, *, since: date | None = None, until: date | None = None
    ) -> Sequence[Waiting]:
        """See AxisGateway."""
        parameters = {**_SERVICE, "messagetype": kind.value}
        if since is not None:
            parameters["fromDate"] = write_date(since)
        if until is not None:
            parameters["toDate"] = write_date(until)
        reply = await self._ask("getReceivedEdocList", parameters)
        return [waiting_of(item) for item in items_of(reply.get("data"))]

    async def fetch(self, axis_id: str, into: BinaryIO, raw: BinaryIO | None = None) -> int:
        """See AxisGateway."""

        async def read(response: httpx2.Response) -> int:
            limit = self._settings.limits.package_bytes
            reply, size = await package_in(response, into, limit, raw)
            require_success(reply)
            if not size:
                raise AxisReplyUnreadable("the answer holds no package")
            return size

        return await self._call("getEdoc", {"docId": axis_id}, read, is_transfer=True)

    def prepare(
        self, kind: MessageKind, package: BinaryIO, *, sender: str, recipients: Sequence[str] = ()
    ) -> Prepared:
        """See AxisGateway. Without `recipients` the axis takes those of the package."""
        size, sha256 = digest_of(package)
        parameters = {
            **_SERVICE,
            "messagetype": kind.value,
            "from": sender,
            "hash-file": hash_file(sha256),
        }
        for code in recipients:
            require_plain("a recipient", code)
        if recipients:
            parameters["to"] = json.dumps(list(recipients), separators=(",", ":"))
        made = self._made("sendEdoc", parameters, size)
        request = {"v": 1, "headers": made.headers, "size": size, "sha256": sha256.hex()}
        return Prepared(json.dumps(request, separators=(",", ":")).encode())

    async def send(self, prepared: Prepared, package: BinaryIO) -> str:
        """See AxisGateway. Begins with the signature that was recorded."""
        recorded = json.loads(prepared.request)
        headers = tuple((name, value) for name, value in recorded["headers"])
        made = Call("sendEdoc", headers)
        sha256 = bytes.fromhex(recorded["sha256"])
        await require_same(package, recorded["size"], sha256)

        async def read(response: httpx2.Response) -> str:
            reply = await self._reply(response)
            if not (axis_id := text_of(reply.get("DocId"))):
                raise AxisReplyUnreadable("the answer has no DocId")
            return axis_id

        return await self._with_secrets(
            made, lambda: body(package, sha256, after=FILE_END), read, is_transfer=True
        )

    async def relayed(self, kind: MessageKind, axis_id: str) -> Sequence[Relayed]:
        """See AxisGateway."""
        parameters = {**_SERVICE, "messagetype": kind.value, "docId": axis_id}
        reply = await self._ask("getSentEdocList", parameters)
        return [_relayed(item) for item in items_of(reply.get("data"))]

    async def mark(self, axis_id: str, state: TransportState) -> None:
        """See AxisGateway."""
        await self._ask("updateStatus", {"docId": axis_id, "status": state.value})

    async def count(self, kind: MessageKind) -> int | None:
        """See AxisGateway."""
        calls = {MessageKind.DOCUMENT: "countReceiveEdoc", MessageKind.STATUS: "countReceiveStatus"}
        count = text_of((await self._ask(calls[kind], {})).get("count"))
        if count is None or not count.isascii() or not count.isdigit():
            raise AxisReplyUnreadable("the answer has no count")
        return int(count)

    async def agencies(self) -> Sequence[AxisAgency]:
        """See AxisGateway.

        Two lists make one: that for synchronising alone has those deleted, the other alone has
        the codes of QCVN 102:2016. If one of them cannot be read, there is none.
        """
        units = await self._ask("getSynchronizeUnit", {})
        listed = [
            _agency(item) for item in items_of((await self._ask("getAgenciesList", {})).get("data"))
        ]
        old_codes = {each.code: each.old_code for each in listed}
        return [
            replace(unit, old_code=unit.old_code or old_codes.get(unit.code, ""))
            for unit in map(_agency, items_of(units.get("data")))
        ]

    async def agencies_of_level(self, level: int) -> Sequence[AxisAgency]:
        """Organisations of one level under QĐ 20/2020, with both their codes."""
        reply = await self._ask("getAgenciesListQD20", {"level": str(level)})
        return [_agency(item) for item in items_of(reply.get("data"))]

    async def close(self) -> None:
        """See AxisGateway."""
        await self._http.close()

    async def _ask(self, name: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        return await self._call(name, parameters, self._reply)

    async def _reply(self, response: httpx2.Response) -> dict[str, Any]:
        reply = members_of(await whole(response, self._settings.limits.reply_bytes))
        require_success(reply)
        return reply

    async def _call(
        self,
        name: str,
        parameters: Mapping[str, str],
        read: Callable[[httpx2.Response], Awaitable[T]],
        *,
        is_transfer: bool = False,
    ) -> T:
        content = _EMPTY_JSON if FAMILIES[name] is Family.SMALL else b""
        made = self._made(name, parameters, len(content))
        return await self._with_secrets(made, lambda: content, read, is_transfer=is_transfer)

    def _made(self, name: str, parameters: Mapping[str, str], body_bytes: int) -> Call:
        return call(
            name,
            {"systemid": self._settings.system_id, **parameters},
            secret=self._secret,
            timestamp=timestamp_of(self._clock()),
            host=self._host,
            body_bytes=body_bytes,
        )

    async def _with_secrets(
        self,
        made: Call,
        content: Callable[[], bytes | AsyncIterator[bytes]],
        read: Callable[[httpx2.Response], Awaitable[T]],
        *,
        is_transfer: bool,
    ) -> T:
        """Ask, and where the axis knows neither us nor the secret, ask with the other one.

        Only a plain refusal leads to a second request: then the first was not carried out.
        """
        attempts = [made]
        for secret in self._settings.secrets:
            if (again := made.signed_anew(secret)) not in attempts:
                attempts.append(again)
        for number, attempt in enumerate(attempts, start=1):
            try:
                async with self._http.exchange(
                    attempt.method,
                    f"{self._endpoint}/{attempt.name}",
                    attempt.headers,
                    content(),
                    is_transfer=is_transfer,
                ) as response:
                    answer = await read(response)
            except AxisRefused as refusal:
                if refusal.code != AxisRefused.CREDENTIALS or number == len(attempts):
                    raise
            else:
                self._prefer(attempt)
                return answer
        raise AssertionError("there is at least one attempt")

    def _prefer(self, attempt: Call) -> None:
        for secret in self._settings.secrets:
            if attempt == attempt.signed_anew(secret):
                self._secret = secret


def _relayed(item: dict[str, str]) -> Relayed:
    return Relayed(
        axis_id=required(item, "senderDocId"),
        recipient_axis_id=item.get("receiverDocId", ""),
        sender=item.get("fromCode", ""),
        recipient=item.get("toCode", ""),
        send_state=item.get("sendStatus", ""),
        receive_state=item.get("receiveStatus", ""),
        code=item.get("notation", ""),
        sent_at=item.get("sentTime", ""),
        received_at=item.get("receivedTime", ""),
    )


def _agency(item: dict[str, str]) -> AxisAgency:
    return AxisAgency(
        code=required(item, "code"),
        name=item.get("name", ""),
        old_code=item.get("code102") or item.get("oldCode", ""),
        axis_id=item.get("id", ""),
        parent_id=item.get("pid", ""),
        mail=item.get("mail", ""),
        center_code=item.get("centerCode", ""),
        version=item.get("version", ""),
        modified_at=item.get("modifyDate", ""),
        deleted=_truth(item.get("deleted")),
        is_agency=_truth(item.get("isAgency")),
    )


def _truth(text: str | None) -> bool | None:
    return None if text is None else text.lower() in ("true", "1")
