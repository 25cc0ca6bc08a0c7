"""Nothing that comes in breaks the codec, and nothing that goes through it changes."""

from __future__ import annotations

import io
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.axis.edxml.errors import CannotHold, EdxmlRefused
from adapters.axis.edxml.model import (
    Attachment,
    Business,
    Code,
    DocumentHeader,
    DocumentPackage,
    Organ,
    OtherInfo,
    Promulgation,
    ResponseFor,
    Signer,
    Trace,
    TraceHeader,
    as_read,
)
from adapters.axis.edxml.reader import Reading
from adapters.axis.packing import losses, package_of
from adapters.axis.saying import said_of
from hub.proof.envelope import Document, Priority
from hub.proof.fields import Fields
from tests.support.axis import attachment, document_in, envelope, reading, sample, written, zipped

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TRANSPARENT = st.text(
    st.characters(
        exclude_categories=("Cs", "Cc"),
        exclude_characters="\ufffe\uffff",
        include_characters="\n\t\r",
    ),
    max_size=30,
)
TEXT = st.none() | TRANSPARENT | st.sampled_from(["Tiê\u0301ng Viê\u0323t", "a<b&c>\"d'", "]]>"])
DATE = st.dates().map(lambda day: day.isoformat())


def shaped(shape: Any, **given_: Any) -> Any:
    from adapters.axis.edxml.shape import Kind, elements

    texts = {each.name: TEXT for each, where in elements(shape) if where.kind is Kind.TEXT}
    return st.builds(shape, **{**texts, **given_})


HEADERS = shaped(
    DocumentHeader,
    sender=st.none() | shaped(Organ),
    to=st.lists(shaped(Organ), min_size=1, max_size=3).map(tuple),
    code=st.none() | shaped(Code),
    promulgation=st.none() | shaped(Promulgation),
    signer=st.none() | shaped(Signer),
    other=st.none() | shaped(OtherInfo, appendixes=st.lists(TRANSPARENT, max_size=2).map(tuple)),
    response_for=st.lists(shaped(ResponseFor), max_size=2).map(tuple),
    to_places=st.lists(TRANSPARENT, max_size=2).map(tuple),
)
TRACES = st.none() | shaped(
    Trace,
    business=st.none() | shaped(Business),
    hops=st.lists(shaped(TraceHeader), max_size=2).map(tuple),
)
NAMES = st.builds(
    lambda stem, suffix: stem + suffix,
    st.text(st.characters(categories=("L", "N", "Zs", "Pd")), min_size=1, max_size=10).filter(
        str.strip
    ),
    st.sampled_from(["", ".pdf", ".docx", ".xlsx", ".zip", ".txt", ".", ".p7s"]),
)
CONTENTS = st.binary(max_size=300) | st.builds(
    lambda data: zipped(("f110ae4f-f544-47e2-a378-fe36748a33ee.x", data)), st.binary(max_size=20)
)


@QUICK
@given(header=HEADERS, trace=TRACES, files=st.lists(st.tuples(NAMES, CONTENTS), max_size=3))
def test_whatever_is_written_is_read_again(
    header: DocumentHeader, trace: Trace | None, files: list[tuple[str, bytes]]
):
    attachments = tuple(attachment(name, content) for name, content in files)
    package = DocumentPackage(header=header, trace=trace, attachments=attachments)

    found = reading(written(package, [content for _name, content in files]))

    assert isinstance(found.package, DocumentPackage)
    assert found.package.header == as_read(package).header
    assert found.package.trace == as_read(package).trace
    assert [content.read() for content in found.contents] == [content for _name, content in files]
    # Written a second time, nothing moves any more.
    again = written(found.package, [content for _name, content in files])
    assert again == written(reading(again).package, [content for _name, content in files])


WORDS = TRANSPARENT.map(lambda text: text.strip() or "x")
DOCUMENTS = st.fixed_dictionaries(
    {
        "number": WORDS,
        "notation": WORDS,
        "type": st.fixed_dictionaries(
            {"name": st.sampled_from(["Công văn", "Thông báo", "Lịch"]) | WORDS},
            optional={"code": st.sampled_from(["2.18", "7", "CV", "2.x"])},
        ),
        "subject": WORDS | TRANSPARENT.filter(bool),
        "issued_on": DATE,
        "priority": st.sampled_from([each.value for each in Priority]),
        "language": st.sampled_from(["vi", "en"]),
    },
    optional={
        "summary": WORDS,
        "place": WORDS,
        "signer": st.fixed_dictionaries(
            {"full_name": WORDS}, optional={"competence": st.just("TM.")}
        ),
        "due_on": DATE,
        "pages": st.integers(0, 100_000),
        "steering": st.integers(0, 1_000),
        "paper": st.booleans(),
        "to_places": st.lists(WORDS, max_size=3),
        "in_reply_to": st.lists(
            st.fixed_dictionaries(
                {"agency": WORDS}, optional={"number": WORDS, "notation": WORDS, "issued_on": DATE}
            ),
            max_size=2,
        ),
    },
)


@QUICK
@given(document=DOCUMENTS)
def test_an_envelope_loses_only_what_is_named(document: dict[str, Any]):
    payload = envelope(**document)
    Document.read(Fields(payload["document"]))  # the strategy makes envelopes that a hub takes
    try:
        package = package_of(payload)
    except (CannotHold, EdxmlRefused):
        return  # refused before anything went out
    again = said_of(document_in(written(package)))
    named = losses(payload, package)

    for path, value in leaves(payload["document"], "document"):
        if path not in named:
            assert dict(leaves(again["document"], "document")).get(path) == value, path
    assert again["recipients"] == payload["recipients"]


@QUICK
@given(header=HEADERS, trace=TRACES)
def test_a_package_that_becomes_an_envelope_comes_back(header: DocumentHeader, trace: Trace | None):
    package = as_read(DocumentPackage(header=header, trace=trace))
    try:
        said = said_of(package)
    except EdxmlRefused:
        return
    again = package_of(json.loads(json.dumps(said)))

    assert again.header.subject == package.header.subject
    assert again.header.to == package.header.to
    assert losses(said, again) == ()


@QUICK
@given(data=st.binary(max_size=400))
def test_no_bytes_break_the_reader(data: bytes):
    refused(data)


@QUICK
@given(
    name=st.sampled_from(["built_new_document", "built_status_02", "dialect_net"]),
    at=st.floats(0, 1, exclude_max=True),
    length=st.integers(0, 40),
    instead=st.binary(max_size=40),
)
def test_no_change_of_a_package_breaks_the_reader(
    name: str, at: float, length: int, instead: bytes
):
    data = sample(name)
    start = int(at * len(data))

    found = refused(data[:start] + instead + data[start + length :])

    if found is not None and isinstance(found.package, DocumentPackage):
        try:
            said_of(found.package)
        except EdxmlRefused:
            return


def refused(data: bytes) -> Reading | None:
    try:
        return reading(data)
    except EdxmlRefused:
        return None


def leaves(value: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [leaf for name, each in value.items() for leaf in leaves(each, f"{path}.{name}")]
    if isinstance(value, list):
        return [leaf for n, each in enumerate(value) for leaf in leaves(each, f"{path}[{n}]")]
    return [] if value is None or value is False else [(path, value)]


def test_contents_are_left_at_their_beginning():
    content = io.BytesIO(b"x")
    described: Attachment = attachment("a.txt", b"x")
    package = DocumentPackage(
        header=DocumentHeader(to=(Organ(organ_id="B"),)), attachments=(described,)
    )
    from adapters.axis.edxml.writer import write_document

    write_document(package, [content], io.BytesIO(), io.BytesIO)

    assert content.read() == b"x"
