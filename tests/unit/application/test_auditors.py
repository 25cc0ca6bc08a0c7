"""Operators let auditors in, once for each key."""

import pytest

from hub.application.auditors import Auditors
from hub.application.registry import Caller, Role
from hub.errors import CertificateUnsuitable, KeyTaken, RequestIdReused, RequestMalformed
from hub.proof.leaf import parse_leaf
from tests.support.builders import (
    OPERATOR,
    check_whole,
    new_hub,
    new_request_id,
    run,
    transport_certificate,
)

REQUEST = new_request_id()


@pytest.fixture
def hub():
    return new_hub()


def enrol(hub, name="thanh-tra-1", certificate="auditor", request_id=None):
    auditors = Auditors(hub.lane, hub.suitability)
    der = certificate if isinstance(certificate, bytes) else transport_certificate(certificate)
    return run(auditors.enrol(OPERATOR, request_id or new_request_id(), name=name, certificate=der))


def test_an_auditor_is_known_from_then_on(hub):
    recorded = enrol(hub)
    fact = parse_leaf(recorded.receipt.leaf)
    assert (fact.topic, fact.schema) == ("hub.Principal.PrincipalEnrolled", 2)
    caller = hub.engine.registry.caller(fact.data["certificate"])
    assert caller == Caller(Role.AUDITOR, "thanh-tra-1")
    check_whole(hub)
    # After a restart too, from the same events.
    assert hub.restarted().engine.registry.caller(fact.data["certificate"]) == caller


def test_the_same_request_gets_the_same_answer_and_another_is_refused(hub):
    first = enrol(hub, request_id=REQUEST)
    assert enrol(hub, request_id=REQUEST) == first
    with pytest.raises(RequestIdReused):
        enrol(hub, name="thanh-tra-2", request_id=REQUEST)


def test_a_key_is_enrolled_once_and_an_auditor_may_have_several(hub):
    enrol(hub)
    with pytest.raises(KeyTaken):
        enrol(hub)
    with pytest.raises(KeyTaken):
        enrol(hub, certificate=OPERATOR)
    enrol(hub, certificate="auditor's next")


@pytest.mark.parametrize("name", ["", "Thanh tra", "x" * 41, "-a", "a--b", "a\n", "tên"])
def test_a_name_is_one_code_word(hub, name):
    with pytest.raises(RequestMalformed):
        enrol(hub, name=name)


@pytest.mark.parametrize("certificate", [b"", b"no certificate", b"x" * 20_000])
def test_a_certificate_that_is_none_is_refused(hub, certificate):
    with pytest.raises(CertificateUnsuitable):
        enrol(hub, certificate=certificate)
