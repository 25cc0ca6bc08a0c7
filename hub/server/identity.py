"""From the client certificate of a connection to the principal it was enrolled for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hub.application.registry import Caller, Registry, Role
from hub.errors import PrincipalUnknown, RoleNotPermitted

# Services follow permissions: authorisation is one line for each.
ROLES_OF_SERVICE: dict[str, frozenset[Role]] = {
    "hub.v1.ExchangeService": frozenset({Role.AGENCY}),
    "hub.v1.LedgerService": frozenset(Role),
    "hub.v1.AuditService": frozenset({Role.AUDITOR}),
    "hub.v1.RegistryService": frozenset({Role.OPERATOR}),
    "hub.v1.DirectoryService": frozenset(Role),
}


class Identities:
    """Says who calls. Asked again for every call and every message of a stream."""

    def __init__(self, registry: Callable[[], Registry]) -> None:
        self._registry = registry

    def of(self, certificate: bytes | None) -> Caller | None:
        """Who a client certificate, in DER, was enrolled for; None for nobody, and for none."""
        if certificate is None:
            return None
        return self._registry().caller(hashlib.sha256(certificate).hexdigest())

    def certificate(self, context: Any) -> str:
        """SHA-256 of the client certificate's DER, in hexadecimal; empty where there is none."""
        pem = context.auth_context().get("x509_pem_cert")
        return _fingerprint(bytes(pem[0])) if pem else ""

    def require(self, context: Any, service: str) -> Caller:
        """The caller, if it may use the service.

        Raises PrincipalUnknown for a trusted certificate nobody was enrolled with, and
        RoleNotPermitted.
        """
        caller = self._registry().caller(self.certificate(context))
        if caller is None:
            raise PrincipalUnknown(
                "this client certificate is trusted, but enrolled for nobody; ask the hub's "
                "operator to enrol it"
            )
        if caller.role not in ROLES_OF_SERVICE[service]:
            raise RoleNotPermitted(f"an {caller.role.value} may not use {service}")
        return caller


@lru_cache(maxsize=4096)
def _fingerprint(pem: bytes) -> str:
    """SHA-256 of the certificate's DER, in hexadecimal."""
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    return hashlib.sha256(der).hexdigest()
