"""A timestamp of the log: an outside clock's word for when a checkpoint existed."""

from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

from hub.domain.aggregate import Aggregate


class Timestamp(Aggregate):
    """One token that a time-stamping authority gave.

    An aggregate of its own, so that years of them never have to be read before the next one
    can be recorded (docs/decisions/0017).
    """

    TOPIC = "hub.Timestamp"

    class Created(Aggregate.Created):
        """A verified token was obtained; it lies in the evidence store, with its chain.

        It is over the checkpoint of `size` events, or, where `renews` names the positions of
        earlier tokens, over the bytes that list these; `message` is the SHA-256 of either.
        `certificates` leads from the signer's to the authority's own.
        """

        TOPIC = "hub.Log.TimestampObtained"
        authority: str
        size: int
        renews: list[int]
        message: str
        token: str
        certificates: list[str]
        gen_time: str
        not_after: str

    @classmethod
    def obtain(
        cls,
        *,
        timestamp_id: UUID,
        at: datetime,
        authority: str,
        size: int,
        renews: list[int],
        message: str,
        token: str,
        certificates: list[str],
        gen_time: str,
        not_after: str,
    ) -> Self:
        """Record a token that was verified; `gen_time` is its time, `not_after` its chain's end."""
        return cls._create(
            cls.Created,
            id=timestamp_id,
            timestamp=at,
            authority=authority,
            size=size,
            renews=renews,
            message=message,
            token=token,
            certificates=certificates,
            gen_time=gen_time,
            not_after=not_after,
        )

    def __init__(self, authority: str) -> None:
        self.authority = authority
