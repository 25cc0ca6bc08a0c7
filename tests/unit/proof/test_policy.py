"""Quorum policies: what they say, everything that is none, and what they make of a receipt."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import VerificationFailed
from hub.proof.__main__ import main
from hub.proof.evidence import Verdict, examine
from hub.proof.note import NOTE_BYTES_MAX, KeyType, VerifierKey, parse_note
from hub.proof.policy import MEMBERS_MAX, POLICY_BYTES_MAX, Group, parse_policy
from hub.proof.strict import encode_base64
from hub.proof.trust import Closing, ConsistencyNeeded
from tests.unit.proof.building import (
    LOG,
    WITNESS,
    Case,
    Signer,
    plain_log,
    trusted_root,
)

W1, W2, W3 = (Signer(f"w{n}.example", f"w{n}", KeyType.COSIGNATURE) for n in (1, 2, 3))
Y1, Y2 = (Signer(f"y{n}.example", f"y{n}", KeyType.COSIGNATURE) for n in (1, 2))
LOG_LINE = f"log {LOG.key.format()}\n"


def witness(name: str, signer: Signer) -> str:
    return f"witness {name} {signer.key.format()}\n"


THREE = witness("W1", W1) + witness("W2", W2) + witness("W3", W3)
# The example of the specification, with keys.
EXAMPLE = (
    f"{LOG_LINE}\n{THREE}group X-witnesses 2 W1 W2 W3\n\n"
    f"{witness('Y1', Y1)}{witness('Y2', Y2)}group Y-witnesses any Y1 Y2\n\n"
    "group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
)


def refused(text: str | bytes) -> str:
    with pytest.raises(VerificationFailed) as refusal:
        parse_policy(text.encode() if isinstance(text, str) else text)
    assert refusal.value.step == "policy"
    return str(refusal.value)


# --- What a policy says ------------------------------------------------------------------


def test_the_example_of_the_specification_is_read():
    policy = parse_policy(EXAMPLE.encode())
    assert policy.logs == (LOG.key,)
    assert list(policy.witnesses) == [b"W1", b"W2", b"W3", b"Y1", b"Y2"]
    assert policy.groups[b"X-witnesses"] == Group(2, (b"W1", b"W2", b"W3"))
    assert policy.groups[b"Y-witnesses"].threshold == 1
    assert policy.groups[b"X-and-Y"].threshold == 2
    assert policy.quorum == b"X-and-Y"


@pytest.mark.parametrize(
    ("cosigners", "met"),
    [
        ((W1, W2, Y1), True),
        ((W1, W3, Y2), True),
        ((W1, W2, W3, Y1, Y2), True),
        ((W1, W2, W3), False),
        ((W1, Y1, Y2), False),
        ((), False),
    ],
)
def test_the_example_asks_for_two_of_three_and_one_of_two(cosigners, met):
    policy = parse_policy(EXAMPLE.encode())
    assert policy.met_by({signer.key for signer in cosigners}) is met


def test_a_policy_may_ask_for_nobody():
    policy = parse_policy(b"quorum none\n")
    assert (policy.logs, policy.witnesses, policy.quorum) == ((), {}, None)
    assert policy.met_by(())


def test_a_single_witness_is_a_quorum():
    policy = parse_policy(f"{THREE}quorum W2\n".encode())
    assert policy.met_by({W2.key})
    assert not policy.met_by({W1.key, W3.key})


def test_spaces_tabs_comments_urls_and_names_of_any_octets_are_allowed():
    name = "Thanh tra Chính phủ".replace(" ", "_")
    url = " \thttps://nhân-chứng.example/w1 \t"
    text = f" \t# chú thích\n\n\t \n{LOG_LINE}  witness\t{name} {W1.key.format()}{url}\n"
    policy = parse_policy(text.encode() + b"witness \xff " + W2.key.format().encode()
                          + b"\ngroup g all \xff " + name.encode() + b"\nquorum g\n")  # fmt: skip
    assert set(policy.witnesses) == {name.encode(), b"\xff"}
    assert policy.met_by({W1.key, W2.key})


def test_a_key_that_shares_name_or_id_only_is_another_witness():
    policy = parse_policy(f"{THREE}quorum W1\n".encode())
    assert not policy.met_by({VerifierKey(W1.name, KeyType.COSIGNATURE, W2.key.public_key)})


# --- Everything that is none -------------------------------------------------------------

MIXED = VerifierKey("other.example", KeyType.COSIGNATURE, W1.key.public_key)
SECOND = VerifierKey("other.example", KeyType.ED25519, LOG.key.public_key)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "exactly one quorum"),
        ("quorum none", "last line"),
        ("quorum none\nquorum none\n", "exactly one quorum"),
        (f"{THREE}quorum W1\nquorum W1\n", "exactly one quorum"),
        ("quorum nobody\n", "defines"),
        (f"quorum W1\n{THREE}", "defines"),
        ("quorum\n", "line 1: it is none"),
        ("quorum none none\n", "line 1: it is none"),
        ("qourum none\n", "it is none"),
        ("Quorum none\n", "it is none"),
        ("log\nquorum none\n", "it is none"),
        (f"log {LOG.key.format()} https://a b\nquorum none\n", "it is none"),
        (f"{LOG_LINE}{LOG_LINE}quorum none\n", "line 2: another log"),
        (f"{LOG_LINE}log {SECOND.format()}\nquorum none\n", "another log"),
        (f"log {W1.key.format()}\nquorum none\n", "other kind"),
        ("log junk\nquorum none\n", "not name"),
        (f"witness W {LOG.key.format()}\nquorum W\n", "other kind"),
        (f"witness {W1.key.format()}\nquorum none\n", "it is none"),
        (f"{witness('none', W1)}quorum none\n", "taken"),
        (f"{witness('W1', W1)}{witness('W1', W2)}quorum W1\n", "taken"),
        (f"{witness('W1', W1)}witness W2 {MIXED.format()}\nquorum W1\n", "same key"),
        (f"{THREE}group W1 any W2\nquorum W1\n", "taken"),
        (f"{THREE}group none any W2\nquorum none\n", "taken"),
        (f"{THREE}group g any\nquorum g\n", "it is none"),
        (f"{THREE}group g\nquorum none\n", "it is none"),
        (f"{THREE}group g any none\nquorum g\n", "defines"),
        (f"{THREE}group g any g\nquorum g\n", "defines"),
        (f"{THREE}group g any h\ngroup h any W1\nquorum g\n", "line 4"),
        (f"{THREE}group g all W1 W1\nquorum g\n", "twice"),
        (f"{THREE}group g any W1\ngroup h all g W1\nquorum h\n", "twice"),
        (f"{THREE}group g 0 W1\nquorum g\n", "threshold"),
        (f"{THREE}group g 4 W1 W2 W3\nquorum g\n", "threshold"),
        (f"{THREE}group g 01 W1\nquorum g\n", "threshold"),
        (f"{THREE}group g +1 W1\nquorum g\n", "threshold"),
        (f"{THREE}group g ANY W1\nquorum g\n", "threshold"),
        (f"{THREE}group g 99999999999999999999 W1\nquorum g\n", "threshold"),
        (f"{THREE}group g \N{SUPERSCRIPT TWO} W1 W2\nquorum g\n", "threshold"),
        ("quorum none\r\n", "control"),
        ("quorum\x0bnone\n", "control"),
        ("quorum none\n\x00", "control"),
        ("# \x7f\nquorum none\n", "control"),
    ],
)
def test_what_is_no_policy_is_refused(text, why):
    assert why in refused(text)


@pytest.mark.parametrize("kind", ["log", "witness", "group"])
def test_a_policy_with_more_of_a_kind_than_anyone_needs_is_refused(kind):
    def lines(count: int) -> str:
        signers = [Signer(f"s{n}", f"{kind} {n}", KeyType.COSIGNATURE) for n in range(count)]
        if kind == "witness":
            return "".join(witness(f"s{n}", signer) for n, signer in enumerate(signers))
        if kind == "log":
            return "".join(f"log {Signer(s.name, s.seed).key.format()}\n" for s in signers)
        first = witness("g0", W1)
        return first + "".join(f"group g{n + 1} any g{n}\n" for n in range(count))

    assert parse_policy(f"{lines(MEMBERS_MAX)}quorum none\n".encode())
    assert "more than 100" in refused(f"{lines(MEMBERS_MAX + 1)}quorum none\n")


def test_a_chain_of_groups_is_followed_without_recursion():
    chain = "".join(f"group g{n + 1} any g{n}\n" for n in range(MEMBERS_MAX))
    policy = parse_policy(f"{witness('g0', W1)}{chain}quorum g{MEMBERS_MAX}\n".encode())
    assert policy.met_by({W1.key})
    assert not policy.met_by({W2.key})


@pytest.mark.parametrize(
    "data",
    [b"#" * (POLICY_BYTES_MAX + 1), b"\n" * POLICY_BYTES_MAX, b"group g any" + b" a" * 100_000],
)
def test_a_hostile_policy_is_refused_in_bounded_memory(data):
    tracemalloc.start()
    refused(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * POLICY_BYTES_MAX


WORDS = ["log", "witness", "group", "quorum", "none", "any", "all", "2", "a", "b", "#", "\xe9"]
KEYS = [LOG.key.format(), W1.key.format(), W2.key.format()]


@given(
    st.lists(st.lists(st.sampled_from([*WORDS, *KEYS, "https://x"]), max_size=6), max_size=12).map(
        lambda lines: "".join(" ".join(line) + "\n" for line in lines).encode()
    )
    | st.binary(max_size=300)
)
def test_whatever_comes_is_read_or_refused(data):
    try:
        policy = parse_policy(data)
    except VerificationFailed:
        return
    everybody = set(policy.witnesses.values())
    # Nobody can do what all together cannot, and nobody is needed for nothing.
    assert policy.met_by(everybody)
    assert policy.met_by(()) is (policy.quorum is None)


# --- What it makes of a receipt ----------------------------------------------------------

TWO_OF_TWO = parse_policy(
    f"{LOG_LINE}{witness('A', W1)}{witness('B', W2)}group both all A B\nquorum both\n".encode()
)
TRUST = trusted_root(policy=TWO_OF_TWO)


def test_two_of_two_are_named_and_the_receipt_is_as_good_as_without_a_policy():
    file = Case().file(LOG, W1, W2).format()
    findings = examine(file, TRUST).items
    assert "cosigned by w1.example, w2.example; the policy asks for no more" in findings[1].text
    plain = [finding.verdict for finding in examine(file, trusted_root()).items]
    assert [finding.verdict for finding in findings] == plain


@pytest.mark.parametrize(
    ("cosigners", "named"),
    [
        ((), "by none of them"),
        ((W1,), "by w1.example"),
        ((W1, W3), "by w1.example"),
        ((WITNESS,), "by none of them"),
    ],
)
def test_a_receipt_that_too_few_cosigned_is_refused(cosigners, named):
    findings = examine(Case().file(LOG, *cosigners).format(), TRUST).items
    assert [finding.verdict for finding in findings] == [Verdict.PROVEN, Verdict.REFUTED]
    assert findings[1].text.endswith(f"{named}.")


def test_a_bad_cosignature_of_a_known_witness_rejects_the_checkpoint():
    forged = replace(W2, seed="not w2")
    line = replace(forged.sign(plain_log().checkpoint().body), key_id=W2.key.key_id)
    note = plain_log().signed_checkpoint(LOG, W1)
    note += f"— {line.name} {encode_base64(line.key_id + line.signature)}\n".encode()
    with pytest.raises(VerificationFailed, match="does not fit"):
        TRUST.open_checkpoint(note)


def test_every_checkpoint_in_a_file_must_meet_the_policy():
    case = Case()
    seen, unseen = case.file(LOG, W1, W2), case.file(LOG)
    enrolment = unseen.enrolment
    findings = examine(replace(seen, enrolment=enrolment).format(), TRUST).items
    assert findings[-1].step == 6
    assert "quorum" in findings[-1].text


def test_a_log_that_the_policy_does_not_list_is_refused():
    other = Signer("other.example", "other")
    policy = parse_policy(f"log {other.key.format()}\nquorum none\n".encode())
    with pytest.raises(VerificationFailed, match="no log of the policy"):
        trusted_root(policy=policy).open_checkpoint(plain_log().signed_checkpoint(LOG))


def test_a_quorum_stands_in_for_the_consistency_that_a_closed_key_needs():
    log = plain_log(11)
    closed = Closing(11, log.checkpoint(11).root)
    seen = log.signed_checkpoint(LOG, W1, W2, size=7)
    with pytest.raises(ConsistencyNeeded):
        trusted_root(closed=closed).open_checkpoint(seen)
    asks_nobody = trusted_root(closed=closed, policy=parse_policy(b"quorum none\n"))
    with pytest.raises(ConsistencyNeeded):
        asks_nobody.open_checkpoint(seen)

    trust = trusted_root(closed=closed, policy=TWO_OF_TWO)
    assert trust.open_checkpoint(seen).checkpoint.size == 7
    # Beyond its end a closed key vouches for nothing, whoever cosigned.
    late = plain_log(12).signed_checkpoint(LOG, W1, W2)
    with pytest.raises(VerificationFailed, match="closed at size 11"):
        trust.open_checkpoint(late)


def test_the_policy_is_no_part_of_the_trusted_root_file():
    assert TRUST.format() == trusted_root().format()


@pytest.mark.parametrize(
    ("signers", "policy", "status"),
    [
        ((LOG, W1, W2), "two", 0),
        ((LOG, W1), "two", 1),
        ((LOG,), "two", 1),
        ((LOG,), "none", 0),
        ((LOG, W1, W2), "junk", 1),
        ((LOG, W1, W2), "missing", 1),
    ],
)
def test_the_auditors_tool_asks_for_the_quorum(tmp_path, capsys, signers, policy, status):
    case = Case()
    text = f"{witness('A', W1)}{witness('B', W2)}group both all A B\nquorum both\n"
    files = {"two": text, "none": "quorum none\n", "junk": "junk\n"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "root.json").write_bytes(trusted_root().format())
    receipt = tmp_path / "x.receipt.json"
    receipt.write_bytes(replace(case.file(*signers), statement=None, enrolment=None).format())

    options = ["--trust", str(tmp_path / "root.json"), "--policy", str(tmp_path / policy)]
    assert main([*options, str(receipt)]) == status

    said = capsys.readouterr()
    if policy in ("junk", "missing"):
        assert said.err.startswith("The policy cannot be used: ")
    elif status == 0 and policy == "two":
        assert "cosigned by w1.example, w2.example" in said.out


def test_evidence_with_a_quorum_still_says_what_was_not_checked(tmp_path):
    (tmp_path / "policy").write_text(f"{witness('A', W1)}quorum A\n")
    (tmp_path / "root.json").write_bytes(trusted_root().format())
    (tmp_path / "x.receipt.json").write_bytes(Case().file(LOG, W1).format())
    options = ["--trust", str(tmp_path / "root.json"), "--policy", str(tmp_path / "policy")]
    assert main([*options, str(tmp_path / "x.receipt.json")]) == 2


# --- A million lines ---------------------------------------------------------------------


@pytest.mark.parametrize("line", [b"x\n", "— w AAAAAAA=\n".encode()])
@pytest.mark.parametrize("count", [1_000_000, 60_000])
def test_a_million_cosignature_lines_are_refused_before_they_are_read(line, count):
    data = plain_log().signed_checkpoint(LOG) + line * count
    tracemalloc.start()
    with pytest.raises(VerificationFailed) as refusal:
        parse_note(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refusal.value.step == "note"
    # Nothing was made of the lines; within the limit, the text was decoded once to be checked.
    assert peak < 4 * NOTE_BYTES_MAX
