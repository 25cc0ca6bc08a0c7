"""What a hub hears from those who issue certificates, and by which it judges signatures."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.pki.examiner import ExaminerProcess
from adapters.pki.http import HttpCrlSource
from adapters.system import system_randomness
from hub.application.certificates import Suitability, divided
from hub.application.lane import Lane
from hub.application.ocsp_answers import KnownOfRevocation, OcspAnswers
from hub.application.offload import Offloader
from hub.application.ports import Clock, MayAct, SignatureExaminer
from hub.application.revocation_lists import NamedSource, RevocationLists
from hub.application.verdicts import Examination
from hub.bootstrap.core import Core
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.ocsp import responders_to_ask
from hub.bootstrap.timestamps import stampers_of
from hub.evidence.found import Authorities

_logger = structlog.get_logger("hub")


class Issuers:
    """Their lists and answers, fetched ahead, and the two examiners of what documents carry."""

    def __init__(
        self, core: Core, lane: Lane, offload: Offloader, judged_at: Clock, may_act: MayAct
    ) -> None:
        """`judged_at` is the time by which statements are judged."""
        self._core, self._lane, self._offload = core, lane, offload
        self._may_act = may_act
        self._known = core.registry()
        self.lists = self._lists(judged_at)
        self.answers = self._answers()
        self.revocation = KnownOfRevocation(self.lists, self.answers)
        # Two: nobody who waits for an answer waits for what is examined in the background.
        at_once, in_background = (
            ExaminerProcess(timeout_s=core.settings.signature_timeout_s, niceness=niceness)
            for niceness in (0, 10)
        )
        self._examiners = (at_once, in_background)
        self.at_once = self._examination(at_once)
        self.in_background = self._examination(in_background)

    async def load(self) -> None:
        """Take up what the log holds of them."""
        known = self._core.registry()
        await self._offload(self.lists.load)
        await self._offload(self.answers.load)
        self._known = known

    async def follow(self) -> None:
        """Take up what another hub that leads has recorded since the last time."""
        newest, known = self._core.registry(), self._known
        if not self._core.engine.leads:
            if newest.crls != known.crls:
                await self._offload(self.lists.load)
            if newest.answers != known.answers:
                await self._offload(self.answers.load)
        self._known = newest

    async def close(self) -> None:
        """Stop the examiners."""
        for examiner in self._examiners:
            await examiner.close()

    def suitability(self) -> Suitability:
        """Which certificates may be enrolled."""
        folder = self._core.folder
        return Suitability(
            signing=_certificates(folder.signing_authorities),
            transport=_certificates(folder.transport_authorities),
            listed=self.revocation.listed,
            cleared=self.answers.clears,
        )

    def _lists(self, clock: Clock) -> RevocationLists:
        core, settings = self._core, self._core.settings
        return RevocationLists(
            [
                NamedSource(
                    each.name,
                    HttpCrlSource(
                        each.url, timeout_s=settings.crl_timeout_s, may_act=self._may_act
                    ),
                )
                for each in settings.crls
            ],
            authorities=_authorities(core.folder),
            every=timedelta(seconds=settings.crl_every_s),
            log=core.log,
            registry=core.registry,
            lane=self._lane,
            offload=self._offload,
            clock=clock,
            failed=_no_crl,
        )

    def _answers(self) -> OcspAnswers:
        core, settings = self._core, self._core.settings
        authorities = _authorities(core.folder)
        return OcspAnswers(
            responders_to_ask(core.folder, settings, authorities, self._may_act),
            authorities=authorities,
            every=timedelta(seconds=settings.ocsp_every_s),
            age_max=timedelta(hours=settings.crl_age_max_h),
            lists=self.lists,
            log=core.log,
            registry=core.registry,
            lane=self._lane,
            offload=self._offload,
            clock=core.clock,
            randomness=system_randomness,
            failed=_no_answer,
        )

    def _examination(self, examiner: SignatureExaminer) -> Examination:
        core = self._core
        anchors, others = divided(_certificates(core.folder.signing_authorities))
        return Examination(
            examiner=examiner,
            content=core.content,
            # Read each time: the trusted root may have ended one meanwhile.
            authorities=lambda: Authorities(
                tuple(anchors), tuple(others), stampers_of(core.folder, core.settings)
            ),
            lists=self.revocation,
            offload=self._offload,
            randomness=system_randomness,
        )


def _no_crl(source: str, error: Exception) -> None:
    _logger.warning("no revocation list", source=source, error=str(error))


def _no_answer(responder: str, error: Exception) -> None:
    _logger.warning("no OCSP answer", responder=responder, error=str(error))


def _authorities(folder: DataFolder) -> list[bytes]:
    signing, transport = folder.signing_authorities, folder.transport_authorities
    return sorted({*_certificates(signing), *_certificates(transport)})


def _certificates(path: Path) -> list[bytes]:
    return [
        certificate.public_bytes(Encoding.DER)
        for certificate in x509.load_pem_x509_certificates(path.read_bytes())
    ]
