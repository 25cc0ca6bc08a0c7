"""The published JSON Schemas and the hand-written reader agree about every payload.

But for rules that JSON Schema cannot state: `SAID_IN_WORDS` lists them all, each as code
of its own, and the README for vendors says them in words.
"""

import copy
import json
import random
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

from hub.errors import VerificationFailed
from hub.proof.dsse import SignedStatement
from hub.proof.ijson import parse_ijson
from hub.proof.statements import (
    Approval,
    Collect,
    Envelope,
    ErasureOrder,
    KeyOrder,
    Possession,
    Renewal,
    Status,
    encode_payload,
    read_certificate_statement,
    read_operator_statement,
    read_statement,
)
from tests.support.make_statement_examples import EXAMPLES

KINDS = {
    "envelope": Envelope,
    "collect": Collect,
    "status": Status,
    "renewal": Renewal,
    "possession": Possession,
    "erasure-order": ErasureOrder,
    "key-order": KeyOrder,
    "approval": Approval,
}
READERS = {
    "renewal": read_certificate_statement,
    "possession": read_certificate_statement,
    "erasure-order": read_operator_statement,
    "key-order": read_operator_statement,
    "approval": read_operator_statement,
}
NAMES = (
    *("envelope", "envelope-replace", "collect", "status", "status-refused"),
    *("renewal", "possession"),
    *("erasure-order", "key-order", "approval"),
)
SCHEMAS: dict[str, dict[str, Any]] = {
    kind: json.loads((EXAMPLES.parent / f"{kind}.v1.schema.json").read_text()) for kind in KINDS
}
VALIDATORS: dict[str, Validator] = {
    kind: Draft202012Validator(schema) for kind, schema in SCHEMAS.items()
}
Path = tuple[str | int, ...]


def kind_of(name: str) -> str:
    """Of which kind an example is; it may be one of several."""
    return name if name in KINDS else name.split("-", maxsplit=1)[0]


def payload(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((EXAMPLES / f"{name}.payload.json").read_bytes())
    return loaded


# --- What no schema says -------------------------------------------------------------------


def at(value: Any, path: str) -> list[Any]:
    """Everything at a path like `document.attachments.*.name`."""
    found = [value]
    for name in path.split("."):
        lists = [item for item in found if isinstance(item, list)] if name == "*" else []
        dicts = [item for item in found if isinstance(item, dict) and name in item]
        found = [inner for outer in lists for inner in outer] + [item[name] for item in dicts]
    return found


def names_the_sender(value: Any) -> bool:
    return any(value.get("agency") == recipient for recipient in at(value, "recipients.*"))


def repeats_an_attachments_name(value: Any) -> bool:
    names = at(value, "document.attachments.*.name")
    return len({json.dumps(name) for name in names}) != len(names)


def has_a_file_name_of_too_many_bytes(value: Any) -> bool:
    names = at(value, "document.attachments.*.name")
    return any(
        isinstance(name, str) and len(name.encode(errors="surrogatepass")) > 255 for name in names
    )


DATED = (
    "created_at",
    "expires_at",
    "document.issued_on",
    "document.due_on",
    "document.in_reply_to.*.issued_on",
)


def names_a_day_that_never_was(value: Any) -> bool:
    def exists(text: str) -> bool:
        try:
            date.fromisoformat(text[:10])
        except ValueError:
            return False
        return True

    texts = [item for path in DATED for item in at(value, path) if isinstance(item, str)]
    return not all(exists(text) for text in texts)


WHOLE = ("v", "sender_seq", "document.pages", "document.steering", "document.attachments.*.size")


def writes_a_whole_number_with_a_fraction(value: Any) -> bool:
    return any(isinstance(item, float) for path in WHOLE for item in at(value, path))


def is_no_i_json(value: Any) -> bool:
    """Size, depth, duplicate names, numbers beyond 2^53, surrogates: see test_statements."""
    try:
        parse_ijson(json.dumps(value).encode(), bytes_max=1024 * 1024)
    except VerificationFailed:
        return True
    return False


SAID_IN_WORDS: tuple[Callable[[Any], bool], ...] = (
    names_the_sender,
    repeats_an_attachments_name,
    has_a_file_name_of_too_many_bytes,
    names_a_day_that_never_was,
    writes_a_whole_number_with_a_fraction,
    is_no_i_json,
)


# --- Agreement -----------------------------------------------------------------------------


def reader_takes(kind: str, value: Any) -> bool:
    data = json.dumps(value).encode()
    read = READERS.get(kind, read_statement)
    try:
        read(SignedStatement(KINDS[kind].MEDIA_TYPE, data, "", b""))
    except VerificationFailed:
        return False
    return True


def require_agreement(kind: str, value: Any, what: object) -> bool:
    """The reader takes exactly what the schema takes and no rule in words refuses."""
    reader = reader_takes(kind, value)
    schema = VALIDATORS[kind].is_valid(value)
    words = [rule.__name__ for rule in SAID_IN_WORDS if isinstance(value, dict) and rule(value)]
    assert reader == (schema and not words), (kind, what, reader, schema, words)
    return reader


STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 1.0, 1.5, 2**31 + 1, 2**53 - 1, 2**53, 10**30),
    *([], {}, [None], [1], ["A"], ["A", "A"], ["A", "B"], [{}], {"name": "x"}),
    *("", " ", "a", "x" * 20, "x" * 21, "x" * 35, "x" * 36, "x" * 50, "x" * 51, "x" * 100),
    *("x" * 101, "x" * 200, "x" * 201, "x" * 255, "x" * 256, "x" * 1000, "x" * 1001),
    *("x" * 2000, "x" * 2001, "x" * 10_000, "x" * 10_001, "𠀀" * 20, "ữ" * 85, "ữ" * 86),
    *("a\n", "a\tb", "a\x00", "\x7f", "a\x1b", "\ud800", "a b", "a.b", "a..b", "a.", ".", ".."),
    *("a-b", "a_b", "a/b", "a\\b", "A/b", "a/b/c", "vi", "VI", "vi-VN", "vi-", "none", "None"),
    *("new", "update", "replace", "normal", "hoa_toc", "01", "02", "06", "07", "٢"),
    *("2026-11-22", "2026-02-30", "0000-01-01", "2024-02-29", "2026-13-01", "2026-11-22\n"),
    *("2026-11-22T08:30:00+07:00", "2026-11-22T08:30:00.123456+07:00", "2026-11-22T08:30:00Z"),
    *("2026-11-22T24:00:00+07:00", "2026-11-22T08:30:60+07:00", "2026-02-30T08:30:00+07:00"),
    *("2026-11-22T08:30:00.1234567+07:00", "2026-11-22T08:30:00+07:00\n", "a" * 64, "A" * 64),
    *("a" * 63, "a" * 64 + "\n", "AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAB=="),
    *("AA==", "AB==", "AAA=", "AAAA", "AAA", "AA A", "A" * 21848, "A" * 21852, "ed25519"),
    *("signing", "transport", "rsa-pss-sha256", "sha1"),
    *("AAAAAAAAAAAAAAAAAAAAAA", "11111111-1111-4111-8111-111111111111", "1" * 32),
    "000.00.01.H99",
)
DELETE = object()
REPEAT = object()


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in a JSON value, the value itself excepted."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for name, inner in items:
        yield (*path, name)
        yield from paths(inner, (*path, name))


def mutated(value: Any, path: Path, new: Any) -> Any:
    changed = copy.deepcopy(value)
    parent = changed
    for name in path[:-1]:
        parent = parent[name]
    if new is DELETE:
        del parent[path[-1]]
    elif new is REPEAT:
        parent[path[-1]] = [parent[path[-1]]] * 2
    else:
        parent[path[-1]] = copy.deepcopy(new)
    return changed


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_takes_the_example(name: str):
    kind = kind_of(name)
    assert require_agreement(kind, payload(name), "unchanged")


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_is_one(kind: str):
    Draft202012Validator.check_schema(SCHEMAS[kind])


@pytest.mark.parametrize("name", NAMES)
def test_schema_and_reader_agree_on_every_single_change(name: str):
    kind, base = kind_of(name), payload(name)
    taken = [
        require_agreement(kind, mutated(base, path, new), (path, new))
        for path in paths(base)
        for new in (DELETE, REPEAT, *STRANGE)
    ]
    assert 0.02 < sum(taken) / len(taken) < 0.5, "both verdicts must really occur"


@pytest.mark.parametrize("name", NAMES)
def test_schema_and_reader_agree_on_several_changes_at_once(name: str):
    kind, base = kind_of(name), payload(name)
    chance = random.Random(f"agreement on {name}")  # Fixed, so that a failure comes again.
    for _ in range(300):
        value = base
        for _ in range(chance.randint(2, 4)):
            places = list(paths(value))
            if places:
                value = mutated(value, chance.choice(places), chance.choice((DELETE, *STRANGE)))
        require_agreement(kind, value, value)


@pytest.mark.parametrize("name", [name for name in NAMES if kind_of(name) in {"collect", "status"}])
def test_schema_and_reader_agree_about_whom_a_successor_speaks_for(name: str):
    kind, base = kind_of(name), payload(name)
    taken = [
        new
        for new in STRANGE
        if require_agreement(kind, mutated(base, ("for_agency",), new), ("for_agency", new))
    ]
    assert {None, "000.00.01.H99"} <= {new for new in taken if isinstance(new, str | None)}


def test_schema_and_reader_agree_about_each_others_statements():
    for kind in KINDS:
        for name in NAMES:
            require_agreement(kind, payload(name), name)
        for value in STRANGE:
            require_agreement(kind, value, value)


@pytest.mark.parametrize(
    ("path", "least", "most"),
    [
        (("recipients",), 1, 1000),
        (("document", "attachments"), 0, 64),
        (("document", "in_reply_to"), 0, 100),
        (("document", "to_places"), 0, 1000),
    ],
)
def test_schema_and_reader_agree_about_how_long_a_list_may_be(path: Path, least: int, most: int):
    base = payload("envelope")
    attachment = base["document"]["attachments"][0]
    made: dict[str | int, Callable[[int], Any]] = {
        "recipients": lambda n: f"A{n}",
        "attachments": lambda n: attachment | {"name": f"{n}.pdf"},
        "in_reply_to": lambda n: {"agency": f"A{n}"},
        "to_places": lambda n: "Như trên",
    }
    for size in (0, 1, most, most + 1):
        items = [made[path[-1]](n) for n in range(size)]
        taken = require_agreement("envelope", mutated(base, path, items), size)
        assert taken is (least <= size <= most)


def test_every_rule_in_words_is_needed():
    """Each refuses a payload that the schema alone would let through."""
    base = payload("envelope")
    first = ("document", "attachments", 0)
    attachment = base["document"]["attachments"][0]
    examples = {
        names_the_sender: mutated(base, ("recipients",), [base["agency"]]),
        repeats_an_attachments_name: mutated(base, first[:2], [attachment, attachment]),
        has_a_file_name_of_too_many_bytes: mutated(base, (*first, "name"), "ữ" * 86),
        names_a_day_that_never_was: mutated(base, ("document", "issued_on"), "2026-02-30"),
        writes_a_whole_number_with_a_fraction: mutated(base, ("v",), 1.0),
        is_no_i_json: mutated(base, ("x_vendor_note",), 2**53),
    }
    assert set(examples) == set(SAID_IN_WORDS)
    for rule, value in examples.items():
        assert [other for other in SAID_IN_WORDS if other(value)] == [rule]
        assert VALIDATORS["envelope"].is_valid(value)
        assert not reader_takes("envelope", value)


# --- For the people who read and run the schemas --------------------------------------------


def test_the_common_fields_are_the_same_in_every_schema():
    common = ("v", "hub", "agency", "request_id", "nonce", "created_at")
    for schema in SCHEMAS.values():
        assert tuple(schema["properties"])[:6] == common
        assert {name: schema["properties"][name] for name in common} == {
            name: SCHEMAS["collect"]["properties"][name] for name in common
        }
        shared = SCHEMAS["collect"]["$defs"]
        own = {name: value for name, value in schema["$defs"].items() if name in shared}
        assert own == {name: shared[name] for name in own}
        assert own.keys() >= {"agencyCode", "instant"}


def test_every_field_of_every_object_is_described():
    def undescribed(value: Any, where: str) -> Iterator[str]:
        if not isinstance(value, dict):
            return
        for name, field in value.get("properties", {}).items():
            if not isinstance(field, dict) or ("description" not in field and "$ref" not in field):
                yield f"{where}.{name}"
        for name, inner in value.items():
            if name not in ("if", "then", "else"):  # They repeat fields, and describe nothing.
                yield from undescribed(inner, f"{where}.{name}")

    for kind, schema in SCHEMAS.items():
        assert list(undescribed(schema, kind)) == []


def test_patterns_run_on_engines_without_look_around():
    text = "".join(json.dumps(schema) for schema in SCHEMAS.values())
    for beyond_re2 in ("(?=", "(?!", "(?<", "\\\\d", "\\\\w", "\\\\u", "\\\\Z"):
        assert beyond_re2 not in text


def test_the_readers_own_encoding_satisfies_the_schema():
    for name in NAMES:
        value = json.loads(encode_payload(payload(name)))
        assert value == payload(name)
