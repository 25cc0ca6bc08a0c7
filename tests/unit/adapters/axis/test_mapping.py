"""An envelope and a package say the same; what one cannot hold is named."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from adapters.axis.edxml.errors import (
    CannotHold,
    EdxmlRefused,
    FieldInvalid,
    NoRecipient,
    SecretMarked,
    StatusUnknown,
    TooLarge,
)
from adapters.axis.edxml.model import DocumentPackage, Organ, StatusPackage, as_read
from adapters.axis.edxml.names import STATUS_CODES
from adapters.axis.packing import Earlier, losses, package_of, recall_of
from adapters.axis.reading import read_date, read_time, split_code, write_time, write_type_code
from adapters.axis.reports import Report, report_of, status_package
from adapters.axis.saying import Making, said_of, to_payload
from hub.proof.dsse import SignedStatement
from hub.proof.statements import PAYLOAD_BYTES_MAX, Envelope, read_statement
from tests.support.axis import (
    attachment_xml,
    document_in,
    envelope,
    package_xml,
    reading,
    sample,
    written,
)

AT = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)
MAKING = Making(
    hub="lienthong.example/2026",
    request_id="207ad816-5dcd-405e-8a5e-421e1120e2a5",
    nonce="ZWEvGL1NhcAv8EleYUbVGQ==",
    created_at=AT,
)
FULL = {
    "type": {"name": "Công văn", "code": "2.18"},
    "summary": "Đề nghị triển khai\ntrước ngày 30/11.",
    "place": "Hà Nội",
    "signer": {"competence": "KT.", "position": "Phó Chủ tịch", "full_name": "Nguyễn Văn A"},
    "due_on": "2026-11-30",
    "pages": 3,
    "in_reply_to": [
        {"agency": "000.00.02.H99", "number": "98", "notation": "SNV", "issued_on": "2026-11-02"}
    ],
    "steering": 2,
    "to_places": ["Như trên", "Lưu: VT, VP"],
    "paper": True,
    "attachments": [
        {
            "name": "Công văn 125.pdf",
            "media_type": "application/pdf",
            "size": 1,
            "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
            "description": "Bản chính",
        },
        {
            "name": "Phụ lục.bin",
            "media_type": "application/x-khac",
            "size": 1,
            "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
        },
    ],
}


def through_bytes(package: DocumentPackage) -> DocumentPackage:
    return document_in(written(package, [b"x"] * len(package.attachments)))


# --- Envelope → package → envelope -------------------------------------------------------


def test_an_envelope_with_every_field_comes_back_whole():
    payload = envelope(**FULL)
    package = package_of(payload)

    assert losses(payload, package) == ()
    again = said_of(through_bytes(package))
    assert again["document"] == payload["document"]
    assert again["recipients"] == payload["recipients"]
    assert again["agency"] == payload["agency"]
    assert again["created_at"] == payload["created_at"]


@pytest.mark.parametrize(
    ("changed", "lost"),
    [
        ({"type": {"name": "Công văn", "code": "CV"}}, "document.type.code"),
        ({"language": "en"}, "document.language"),
        ({"subject": " V/v có dấu cách "}, "document.subject"),
        ({"in_reply_to": [{"agency": "A", "number": "1/2"}]}, "document.in_reply_to[0].number"),
        ({"signer": {"full_name": " A "}}, "document.signer.full_name"),
        ({"x_note": "riêng"}, "document.x_note"),
    ],
)
def test_what_a_package_cannot_hold_is_named(changed: dict[str, Any], lost: str):
    payload = envelope(**changed)
    named = losses(payload, package_of(payload))

    assert lost in named


def test_paper_that_does_not_follow_is_what_silence_says():
    payload = envelope(paper=False)

    assert losses(payload, package_of(payload)) == ()


def test_what_belongs_to_the_hub_alone_is_named():
    payload = {**envelope(), "sender_seq": 41, "expires_at": "2026-12-31T17:00:00+07:00", "x": "y"}

    assert losses(payload, package_of(payload)) == ("sender_seq", "expires_at", "x")


def test_fractions_of_a_second_are_named():
    payload = {**envelope(), "created_at": "2026-11-22T08:30:00.5+07:00"}

    assert losses(payload, package_of(payload)) == ("created_at",)


def test_an_archive_in_capitals_goes_under_small_letters_and_is_named():
    payload = envelope(attachments=[{**FULL["attachments"][0], "name": "GOI.ZIP"}])  # type: ignore[index,dict-item]
    package = package_of(payload)

    assert package.attachments[0].name == "GOI.zip"
    assert losses(payload, package) == ("document.attachments[0].name",)


@pytest.mark.parametrize("subject", [" ", "\t\n"])
def test_a_document_that_would_not_be_read_again_is_not_made(subject: str):
    with pytest.raises(CannotHold) as refused:
        package_of(envelope(subject=subject))

    assert refused.value.where == "Subject"


@pytest.mark.parametrize("action", ["update", "replace"])
def test_an_update_and_a_replacement_name_the_earlier_document(action: str):
    payload = {**envelope(), "action": action, "relates_to": "0" * 64}
    with pytest.raises(CannotHold):
        package_of(payload)

    package = package_of(payload, earlier=Earlier("A,2026/11/01,7/VP", ("000.00.02.H99",)))
    said = said_of(through_bytes(package))

    assert said["action"] == action
    assert said["relates_to_document_id"] == "A,2026/11/01,7/VP"
    assert losses(payload, package) == ()


def test_a_recall_goes_out_under_the_documents_own_id():
    package = package_of(envelope())
    recall = through_bytes(recall_of(package, "Sai nội dung", AT))

    assert recall.business_type == "1"
    assert recall.header.document_id == package.header.document_id
    assert said_of(recall)["action"] == "recall"
    assert said_of(recall)["reason"] == "Sai nội dung"
    with pytest.raises(FieldInvalid):
        to_payload(recall, MAKING)


def test_names_and_addresses_come_from_the_directory():
    def organ(code: str) -> Organ:
        return Organ(organ_id="wrong", name=f"Cơ quan {code}", email="a@example.vn")

    package = package_of(envelope(), organ=organ)

    assert package.header.sender == Organ(
        organ_id="000.00.01.H99", name="Cơ quan 000.00.01.H99", email="a@example.vn"
    )
    assert [each.organ_id for each in package.header.to] == ["000.00.02.H99", "000.00.03.H99"]


def test_an_id_is_made_of_code_date_and_number_as_others_do():
    package = package_of(envelope())

    assert package.header.document_id == "000.00.01.H99,2026/11/21,125/UBND-VP"
    assert package_of(envelope(), document_id="own").header.document_id == "own"


def test_a_steering_type_is_always_written_because_readers_break_without_one():
    assert package_of(envelope()).header.steering == "1"
    assert package_of(envelope(steering=0)).header.steering == "0"


def test_a_secret_document_is_never_packed():
    with pytest.raises(SecretMarked):
        package_of(envelope(secrecy="mat"))


# --- Package → envelope → package --------------------------------------------------------


@pytest.mark.parametrize("name", ["built_new_document", "built_update"])
def test_a_vendors_package_comes_back_word_for_word(name: str):
    package = document_in(sample(name))
    said = json.loads(json.dumps(said_of(package)))
    again = package_of(said)

    assert again.header == package.header
    assert again.trace == package.trace
    assert losses(said, again) == ()


def test_what_a_strange_dialect_left_out_is_all_that_is_added():
    package = document_in(sample("dialect_net"))
    again = package_of(json.loads(json.dumps(said_of(package))))

    assert again.header.code == package.header.code
    assert again.header.promulgation == package.header.promulgation
    assert again.header.type == package.header.type
    assert again.header.to == package.header.to
    assert again.trace == package.trace
    assert again.unknown == package.unknown
    assert again.header.document_id == "TEST.01.00.H99,2025/11/20,46/SVD-VP"
    assert again.header.steering == "0"


def test_a_payload_is_an_envelope_that_a_hub_reads():
    found = reading(sample("built_new_document"))
    assert isinstance(found.package, DocumentPackage)
    making = Making(**{**_fields(MAKING), "members": {"origin": "axis"}})
    payload = to_payload(found.package, making)
    statement = read_statement(SignedStatement(Envelope.MEDIA_TYPE, payload, "", b""))

    assert isinstance(statement, Envelope)
    assert statement.recipients == ("TEST.01.00.H99", "TEST.02.00.H99")
    assert statement.header.created_at.isoformat() == "2025-11-20T14:30:05+07:00"
    assert [each.name for each in statement.document.attachments][-1] == "goi.ZIP"
    assert json.loads(payload)["origin"] == "axis"
    assert json.loads(payload)["edxml"]["header"]["other"]["sphere"] == "Cải cách hành chính"


def test_without_a_time_of_its_own_a_document_has_the_hubs():
    payload = json.loads(to_payload(document_in(package_xml()), MAKING))

    assert payload["created_at"] == "2026-11-22T08:30:00+07:00"


def test_a_payload_too_large_leaves_out_what_the_stored_package_still_has():
    to = "".join(
        f"<To><OrganId>B{n}</OrganId><OrganAdd>{'đ' * 600}</OrganAdd></To>" for n in range(999)
    )
    payload = to_payload(document_in(package_xml(to)), MAKING)

    assert len(payload) <= PAYLOAD_BYTES_MAX
    assert json.loads(payload)["edxml"]["left_out"] == ["unknown", "to"]
    assert len(json.loads(payload)["recipients"]) == 1000

    with pytest.raises(TooLarge):
        to_payload(
            document_in(package_xml(f"<ApplicationType>{'x' * 2**20}</ApplicationType>")), MAKING
        )


@pytest.mark.parametrize(
    ("found", "replaced_by", "where"),
    [
        ("<To><OrganId>B.H99</OrganId></To>", "<To><OrganName>B</OrganName></To>", "To/OrganId"),
        ("<From><OrganId>A.H99</OrganId></From>", "", "From/OrganId"),
        ("<Subject>V/v thử</Subject>", "", "Subject"),
        ("<Subject>V/v thử</Subject>", f"<Subject>{'x' * 2001}</Subject>", "document.subject"),
        ("2025/11/20", "ngày hai mươi", "PromulgationInfo/PromulgationDate"),
        ("<CodeNumber>7</CodeNumber>", "", "Code/CodeNotation"),
        ("<TypeName>Công văn</TypeName>", "", "DocumentType/TypeName"),
        ("{more}", "", ""),
    ],
)
def test_what_no_envelope_can_do_without_is_asked_for(found: str, replaced_by: str, where: str):
    package = document_in(package_xml().replace(found, replaced_by))
    if not where:
        assert said_of(package)["agency"] == "A.H99"
        return

    with pytest.raises(FieldInvalid) as refused:
        said_of(package)

    assert refused.value.where == where


def test_a_package_without_receivers_is_refused():
    with pytest.raises(NoRecipient):
        said_of(document_in(package_xml().replace("<To><OrganId>B.H99</OrganId></To>", "")))


@pytest.mark.parametrize(
    "more",
    [
        "<Content>MẬT</Content>",
        "<Content>[TUYỆT MẬT] về việc</Content>",
        "<Content>Tối mật: về việc</Content>",
        "<Content>TO\u0302\u0301I MA\u0323\u0302T: về việc</Content>",
        "<SecurityLevel>1</SecurityLevel>",
        "<DoMat>Mật</DoMat>",
    ],
)
def test_a_document_marked_secret_is_refused(more: str):
    with pytest.raises(SecretMarked):
        said_of(document_in(package_xml(more)))


@pytest.mark.parametrize(
    "more",
    [
        "<Content>Mật độ xây dựng</Content>",
        "<Content>Bảo vệ bí mật nhà nước (MẬT)</Content>",
        "<SecurityLevel>0</SecurityLevel>",
        "<DoMat>Thường</DoMat>",
    ],
)
def test_words_that_only_sound_secret_are_no_mark(more: str):
    assert said_of(document_in(package_xml(more)))["document"]["secrecy"] == "none"


def test_names_of_files_are_made_safe_and_told_apart():
    names = ["../../etc/passwd", "a.pdf", "a.pdf", "a.pdf", "..", "C:\\x.doc", "đ" * 300 + ".pdf"]
    xml = "".join(attachment_xml(b"x", name) for name in names)
    said = said_of(document_in(package_xml(attachments=xml)))

    made = [each["name"] for each in said["document"]["attachments"]]
    assert made[:6] == [".._.._etc_passwd", "a.pdf", "a (2).pdf", "a (3).pdf", "_", "C__x.doc"]
    assert made[6].endswith("đ.pdf")
    assert len(made[6].encode()) <= 255
    assert [each["name"] for each in said["edxml"]["attachments"]] == names


def test_a_name_of_full_length_is_kept_and_its_double_shortened():
    name = "đ" * 125 + ".pdf"
    said = said_of(document_in(package_xml(attachments=attachment_xml(b"x", name) * 2)))

    first, second = (each["name"] for each in said["document"]["attachments"])
    assert first == name
    assert second == "đ" * 85 + " (2).pdf"


@pytest.mark.parametrize("name", ["", "A" * 201, "A\x7f"])
def test_a_signer_without_a_name_that_fits_stays_in_the_package_alone(name: str):
    signer = f"<SignerInfo><FullName>{name}</FullName><Position>Chủ tịch</Position></SignerInfo>"
    package = document_in(package_xml(signer))
    said = said_of(package)

    assert "signer" not in said["document"]
    assert package_of(said).header.signer == package.header.signer


def test_optional_texts_that_do_not_fit_stay_in_the_package_alone():
    package = document_in(
        package_xml(f"<ToPlaces><Place>{'x' * 201}</Place><Place>VT</Place></ToPlaces>")
    )
    said = said_of(package)

    assert said["document"]["to_places"] == ["VT"]
    assert package_of(said).header.to_places == package.header.to_places


def test_a_document_json_that_was_broken_is_refused():
    said = said_of(document_in(package_xml()))
    for edxml in (
        [],
        {"header": []},
        {"header": {"subject": 1}},
        {"attachments": [{}]},
        {"unknown": [1]},
    ):
        with pytest.raises(FieldInvalid):
            package_of({**said, "edxml": edxml})


# --- Status reports ----------------------------------------------------------------------


@pytest.mark.parametrize("code", STATUS_CODES)
def test_every_status_goes_there_and_back(code: str):
    report = Report(
        code=code,
        by="000.00.02.H99",
        to="000.00.01.H99",
        document_id="000.00.01.H99,2026/11/21,125/UBND-VP",
        document_code="125/UBND-VP",
        issued_on=date(2026, 11, 21),
        reason="Lý do: <sai> nơi nhận",
        at=AT,
    )
    data = written(status_package(report, Organ(organ_id=report.by, name="Sở Ví Dụ")))
    package = reading(data).package

    assert isinstance(package, StatusPackage)
    again = report_of(package)
    assert again == Report(**{**_fields(report), "at": again.at})
    assert again.at == AT
    assert again.at is not None
    assert again.at.utcoffset() is not None


def test_the_vendors_report_is_understood():
    package = reading(sample("built_status_02")).package
    assert isinstance(package, StatusPackage)
    report = report_of(package)

    assert (report.code, report.by, report.to) == ("02", "TEST.01.00.H99", "TEST.00.00.H99")
    assert report.document_code == "123/VPUB-TH"
    assert report.issued_on == date(2025, 11, 20)


@pytest.mark.parametrize(("said", "code"), [("3", "03"), (" 03 ", "03"), ("13", "13")])
def test_a_code_of_one_digit_is_understood(said: str, code: str):
    xml = sample("built_status_02").decode().replace(">02<", f">{said}<")
    package = reading(xml).package
    assert isinstance(package, StatusPackage)
    assert report_of(package).code == code


@pytest.mark.parametrize(
    ("before", "after", "refusal"),
    [
        (">02<", ">07<", StatusUnknown),
        (">02<", ">x<", StatusUnknown),
        ("<edXML:OrganId>TEST.01.00.H99</edXML:OrganId>", "", FieldInvalid),
    ],
)
def test_a_report_that_says_too_little_is_refused(
    before: str, after: str, refusal: type[EdxmlRefused]
):
    package = reading(sample("built_status_02").decode().replace(before, after)).package
    assert isinstance(package, StatusPackage)

    with pytest.raises(refusal):
        report_of(package)


def test_a_report_about_nothing_is_refused():
    xml = sample("built_status_02").decode()
    start, end = xml.index("<edXML:ResponseFor>"), xml.index("<edXML:StaffInfo>")
    package = reading(xml[:start] + xml[end:]).package
    assert isinstance(package, StatusPackage)

    with pytest.raises(FieldInvalid):
        report_of(package)


# --- Texts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2025/11/20", date(2025, 11, 20)),
        ("2025/1/2", date(2025, 1, 2)),
        (" 2025/11/20 08:00:00 ", date(2025, 11, 20)),
        ("2025-11-20T00:00:00+07:00", date(2025, 11, 20)),
        ("20/11/2025", date(2025, 11, 20)),
        ("2025/13/45", None),
        ("hôm nay", None),
        ("", None),
        (None, None),
    ],
)
def test_dates_are_read_as_people_write_them(text: str | None, day: date | None):
    assert read_date(text) == day


def test_times_are_vietnams():
    at = read_time("2025/11/20 14:30:05")

    assert at == datetime(2025, 11, 20, 7, 30, 5, tzinfo=UTC)
    assert write_time(AT) == "2026/11/22 08:30:00"
    assert read_time("2025/11/20 14:30:05.123") == at
    assert read_time("2025/11/20 25:00:00") is None
    assert read_time("14:30") is None


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Công văn", ("2", "18")),
        ("CÔNG  VĂN", ("2", "18")),
        ("Co\u0302ng va\u0306n", ("2", "18")),
        ("Thông báo", ("2", "7")),
        ("Giấy mời", ("2", "25")),
        ("Lịch công tác", ("2", None)),
    ],
)
def test_a_kind_is_found_by_its_name(name: str, code: tuple[str, str | None]):
    assert write_type_code(None, name) == code


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("45/SVD-VP", ("45", "SVD-VP")),
        ("45", ("45", None)),
        ("/VP", (None, "VP")),
        (None, (None, None)),
    ],
)
def test_a_code_is_number_and_notation(code: str | None, parts: tuple[str | None, str | None]):
    assert split_code(code) == parts


def test_reading_again_changes_nothing_in_a_package_that_was_read():
    package = document_in(sample("built_new_document"))
    assert as_read(package) == package


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
