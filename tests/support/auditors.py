"""Auditors of hubs that tests serve: enrolled over the wire, with a profile of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hub.auditor.client import AuditClient
from hub.client.profile import ClientProfile
from hub.client.registry import RegistryClient
from hub.client.retry import RetryPolicy
from tests.support.hubs import Founded, Identity, identity_in

AUDITOR = "thanh-tra-1"
FILES = ("ca.pem", "trusted_root.json")


@dataclass(frozen=True)
class Auditor:
    """An auditor with a certificate, and a folder with its profile."""

    name: str
    home: Path

    @property
    def transport(self) -> Identity:
        return identity_in(self.home)

    def profile(self, port: int) -> ClientProfile:
        profile = ClientProfile.load(self.home / "profile.toml")
        return replace(profile, target=f"127.0.0.1:{port}")

    @asynccontextmanager
    async def client(
        self, port: int, policy: RetryPolicy | None = None
    ) -> AsyncIterator[AuditClient]:
        async with AuditClient.open(self.profile(port), policy=policy) as client:
            yield client


async def enrol_auditor(founded: Founded, port: int, name: str = AUDITOR) -> Auditor:
    """Give out a certificate and have the operator enrol it."""
    issued = founded.authority.issue_client(name)
    async with RegistryClient.open(founded.operator_profile(port)) as registry:
        await registry.enrol_auditor(name, issued.certificate_pem)
    operator = founded.folder.clients / "operator"
    home = founded.folder.root.parent / f"auditor-{name}"
    home.mkdir()
    (home / "transport.pem").write_bytes(issued.certificate_pem)
    (home / "transport.key.pem").write_bytes(issued.private_key_pem)
    for file in FILES:
        (home / file).write_bytes((operator / file).read_bytes())
    profile = (operator / "profile.toml").read_text()
    (home / "profile.toml").write_text(profile.replace(':0"', f':{port}"'))
    return Auditor(name, home)
