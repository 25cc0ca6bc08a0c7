"""The register at each position: a function of the events below it, and of nothing else."""

from datetime import timedelta

import pytest

from hub.application.agencies import EnrolCertificate, RegisterAgency
from hub.application.registry import Caller, Registry, Role
from hub.errors import (
    AgencyExists,
    AgencyUnknown,
    CertificateUnsuitable,
    KeyExpired,
    KeyNotYetValid,
    KeyTaken,
    KeyUnknown,
    LedgerMismatch,
    RequestIdReused,
    RequestMalformed,
)
from hub.ledger.batch import load_registry
from hub.proof.leaf import parse_leaf
from hub.proof.signatures import Algorithm
from tests.support.builders import (
    AGENCIES,
    OPERATOR,
    OTHER,
    RECIPIENT,
    SENDER,
    START,
    MemoryHub,
    Party,
    check_whole,
    new_hub,
    new_request_id,
    run,
    transport_certificate,
)

sender = Party(SENDER)


@pytest.fixture
def hub() -> MemoryHub:
    return new_hub()


def refusal_of(hub: MemoryHub, command) -> Exception:
    (outcome,) = hub.process(command)
    assert isinstance(outcome, Exception)
    return outcome


# --- Reading ------------------------------------------------------------------------------


def test_an_empty_register_knows_nobody():
    assert Registry().version == -1
    assert Registry().caller("00") is None
    with pytest.raises(KeyUnknown):
        Registry().signing_key(SENDER, "k", START)


def test_each_registry_event_makes_a_new_register_and_leaves_the_old_one(hub):
    registry = Registry()
    seen = []
    for entry in hub.log.entries(0, 99):
        newer = registry.advanced(parse_leaf(entry.state), entry.position, hub.log.evidence)
        seen.append((entry.topic, newer.version))
        if newer is not registry:
            assert newer.version == entry.position > registry.version
        registry = newer

    assert seen[0][1] == -1, "opening the log registers nobody"
    assert [version for _, version in seen[1:]] == list(range(1, 10))
    assert registry == hub.engine.registry == load_registry(hub.log)


def test_other_events_leave_the_register_as_it_is(hub):
    before = hub.engine.registry
    hub.submit(SENDER, sender.envelope())

    assert hub.engine.registry is before
    event = parse_leaf(hub.log.entries(10, 1)[0].state)
    assert before.advanced(event, 10, hub.log.evidence) is before


def test_who_is_known_by_which_certificate(hub):
    client = transport_certificate("client of H02")
    hub.done(
        hub.enrolment(Party(RECIPIENT), purpose="transport", algorithm=None, certificate=client)
    )
    fingerprints = {each.role: each for each in hub.engine.registry.callers.values()}

    assert fingerprints == {
        Role.OPERATOR: Caller(Role.OPERATOR, OPERATOR),
        Role.AGENCY: Caller(Role.AGENCY, RECIPIENT),
    }
    assert sorted(hub.engine.registry.agencies) == sorted(AGENCIES)
    purposes = [entry.purpose for entry in hub.engine.registry.agencies[RECIPIENT].certificates]
    assert purposes == ["signing", "transport"]


def test_a_transport_key_does_not_sign(hub):
    client = transport_certificate("client of H02")
    hub.done(
        hub.enrolment(Party(RECIPIENT), purpose="transport", algorithm=None, certificate=client)
    )
    key_id = hub.engine.registry.agencies[RECIPIENT].certificates[-1].key_id

    with pytest.raises(KeyUnknown):
        hub.engine.registry.signing_key(RECIPIENT, key_id, START)


def test_a_key_is_in_force_from_its_first_moment_to_its_last(hub):
    begin, end = START + timedelta(hours=1), START + timedelta(hours=2)
    party = Party(SENDER, key_name="window", not_before=begin, not_after=end)
    hub.enrol(party)

    def judged(at):
        return hub.engine.registry.signing_key(SENDER, party.key_id, at)

    tick = timedelta(microseconds=1)
    assert judged(begin) == judged(end)
    with pytest.raises(KeyNotYetValid):
        judged(begin - tick)
    with pytest.raises(KeyExpired):
        judged(end + tick)
    with pytest.raises(KeyUnknown):
        hub.engine.registry.signing_key(OTHER, party.key_id, begin)


@pytest.mark.parametrize("spoil", ["missing", "another"])
def test_a_register_without_its_certificates_is_not_believed(hub, spoil):
    evidence = hub.stores.log._tables.evidence
    for digest in list(evidence):
        if spoil == "missing":
            del evidence[digest]
        else:
            evidence[digest] = Party(OTHER, key_name="thief").certificate

    with pytest.raises(LedgerMismatch) as mismatch:
        hub.restarted()

    assert mismatch.value.position == 3  # The operator's, whose key signs too.


# --- Registering --------------------------------------------------------------------------


def test_a_code_is_given_once(hub):
    again = RegisterAgency(OPERATOR, new_request_id(), SENDER, "Another")

    assert isinstance(refusal_of(hub, again), AgencyExists)
    check_whole(hub)


def test_registering_again_gives_the_first_answer_whatever_was_registered_since(hub):
    command = RegisterAgency(OPERATOR, new_request_id(), "H77", "Sở Mới")
    (first,) = hub.done(command)

    assert hub.done(command) == [first]
    other = RegisterAgency(OPERATOR, command.request_id, "H78", "Sở Mới")
    assert isinstance(refusal_of(hub, other), RequestIdReused)
    namesake = RegisterAgency("another operator", command.request_id, "H78", "Sở Mới")
    assert hub.done(namesake)[0].position == first.position + 1
    check_whole(hub)


def test_an_operator_and_an_agency_of_one_name_have_request_ids_of_their_own(hub):
    request_id = new_request_id()
    hub.submit(SENDER, sender.envelope(request_id=request_id))

    hub.done(RegisterAgency(SENDER, request_id, "H77", "Sở Mới"))

    check_whole(hub)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("", "n"),
        ("a b", "n"),
        ("H" * 36, "n"),
        ("operator:x", "n"),
        ("H77", ""),
        ("H77", "n" * 201),
        ("H77", "n\n"),
    ],
)
def test_codes_and_names_that_cannot_be_are_refused(hub, code, name):
    with pytest.raises(RequestMalformed):
        run(hub.agencies.register(OPERATOR, new_request_id(), code, name))

    assert len(hub.events()) == 10


def test_the_list_of_agencies_is_paged_by_code(hub):
    assert [entry.code for entry in hub.agencies.agencies("", 2)] == sorted(AGENCIES)[:2]
    assert [entry.code for entry in hub.agencies.agencies(sorted(AGENCIES)[1], 2)] == [
        sorted(AGENCIES)[2]
    ]


# --- Enrolling ----------------------------------------------------------------------------


def test_a_key_is_enrolled_once_for_one_principal(hub):
    for code in (SENDER, OTHER):
        command = hub.enrolment(Party(code, key_name=SENDER))
        assert isinstance(refusal_of(hub, command), KeyTaken)
    operators = hub.enrolment(
        sender, purpose="transport", algorithm=None, certificate=transport_certificate(OPERATOR)
    )
    assert isinstance(refusal_of(hub, operators), KeyTaken)
    check_whole(hub)


def test_the_same_key_twice_in_a_batch_is_enrolled_once(hub):
    fresh = Party(SENDER, key_name="fresh")

    first, second = hub.process(hub.enrolment(fresh), hub.enrolment(fresh))

    assert first.position == 10
    assert isinstance(second, KeyTaken)
    check_whole(hub)


def test_nobody_can_be_enrolled_who_is_not_registered(hub):
    assert isinstance(refusal_of(hub, hub.enrolment(Party("H77"))), AgencyUnknown)


def test_enrolling_again_gives_the_first_answer_after_the_certificate_has_expired(hub):
    short = Party(SENDER, key_name="short", not_after=START + timedelta(minutes=5))
    command = hub.enrolment(short)
    (first,) = hub.done(command)
    hub.clock.advance(timedelta(days=1))

    assert hub.done(command) == [first]
    late = Party(SENDER, key_name="short too", not_after=START + timedelta(minutes=5))
    assert isinstance(refusal_of(hub, hub.enrolment(late)), CertificateUnsuitable)


def test_the_answer_to_an_enrolment_names_the_key(hub):
    fresh = Party(SENDER, key_name="fresh")

    recorded, key_id = run(
        hub.agencies.enrol(
            OPERATOR,
            new_request_id(),
            code=SENDER,
            purpose="signing",
            algorithm=Algorithm.ED25519,
            certificate=fresh.certificate,
        )
    )

    assert key_id == fresh.key_id
    assert parse_leaf(recorded.receipt.leaf).data["key_id"] == key_id


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_certificate_is_enrolled_for_the_algorithm_of_its_key(hub, algorithm):
    party = Party(SENDER, algorithm, key_name=f"for {algorithm}")
    kind = algorithm.partition("-")[0]
    for stated in Algorithm:
        fits = stated.partition("-")[0] == kind
        (outcome,) = hub.process(hub.enrolment(party, algorithm=stated))
        if fits:
            assert outcome.position == 10
            break
        assert isinstance(outcome, CertificateUnsuitable)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"algorithm": None}, "state the algorithm"),
        ({"certificate": b""}, "no X.509 certificate"),
        ({"certificate": bytes(17_000)}, "at most"),
        ({"certificate": transport_certificate("x")}, "not made for signing"),
        ({"purpose": "transport", "algorithm": None}, "not made for transport"),
    ],
)
def test_a_certificate_that_is_not_made_for_it_is_refused(hub, changes, why):
    command: EnrolCertificate = hub.enrolment(Party(SENDER, key_name="fresh"), **changes)

    refusal = refusal_of(hub, command)

    assert isinstance(refusal, CertificateUnsuitable)
    assert why in str(refusal)
    check_whole(hub)


def test_a_certificate_of_a_stranger_authority_is_refused(hub, tmp_path):
    from keys.development_ca import DevelopmentCA
    from tests.support.builders import der

    stranger = DevelopmentCA.create(tmp_path / "ca", hub.clock)
    certificate = der(stranger.issue_signing("x", Algorithm.ED25519).certificate_pem)

    refusal = refusal_of(hub, hub.enrolment(sender, certificate=certificate))

    assert "not issued by a trust anchor" in str(refusal)
