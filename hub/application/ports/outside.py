"""Whom the hub asks outside of its own process."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from hub.evidence.found import Authorities, FoundSignature


class TimestampAuthority(Protocol):
    """Somebody else's clock, asked by RFC 3161 over a network.

    Untrusted: its answer is verified to the last byte before anything is stored. It may be
    gone, slow or hostile for days, and is never waited for by anybody but its own job.
    """

    async def ask(self, request: bytes) -> bytes:
        """The answer (TimeStampResp) to a request (TimeStampReq), nothing in it verified.

        Ends within the deadline it was made with, and takes at most 65 KiB; beyond either,
        and where there is no answer, it raises OSError.
        """
        ...


class CrlSource(Protocol):
    """Where an issuer publishes whom it took back: one address, configured by the operator.

    Untrusted: the list is verified before anything is stored. It may be gone, slow or hostile
    for days, and is never waited for by anybody but its own job.
    """

    async def fetch(self) -> bytes:
        """The list (DER), nothing in it verified.

        Ends within the deadline it was made with, and takes at most 16 MiB; beyond either, and
        where there is no list, it raises OSError.
        """
        ...


class OcspResponder(Protocol):
    """Who is asked about one certificate at a time: one address, configured by the operator.

    Untrusted, as a CrlSource is: an answer is verified before anything is stored.
    """

    async def ask(self, request: bytes) -> bytes:
        """The answer (DER) to a request (DER), nothing in it verified.

        Ends within the deadline it was made with, and takes at most 64 KiB; beyond either, and
        where there is no answer, it raises OSError.
        """
        ...


class SignatureExaminer(Protocol):
    """Looks at the signatures that a file carries, of at most 64 MiB.

    Untrusted: what it says is recorded as the hub's word and decides nothing but, where that is
    demanded, whether a document is accepted. It always answers, within its time limit.
    """

    async def examine(
        self, content: bytes, signature: bytes | None, authorities: Authorities, at: datetime
    ) -> Sequence[FoundSignature]:
        """The signatures in a PDF as of a moment, or the detached one (DER) of any content.

        What cannot be told has the outcome `unknown`; empty for a PDF that carries none.
        """
        ...

    async def examine_package(
        self, package: bytes, authorities: Authorities, at: datetime
    ) -> Sequence[FoundSignature]:
        """The signatures (XML-DSig) in the header of an edXML package as of a moment.

        Otherwise as `examine`.
        """
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...
