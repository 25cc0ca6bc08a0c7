"""What the texts of a package mean: dates, times, numbers and codes, as senders write them."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

from adapters.axis.edxml import names
from hub.proof.envelope import Priority

# The packages carry local time without a zone (QĐ 28/2018/QĐ-TTg Art. 14).
VIETNAM: Final = timezone(timedelta(hours=7))

PRIORITIES: Final = {
    "0": Priority.NORMAL,
    "1": Priority.URGENT,
    "2": Priority.VERY_URGENT,
    "3": Priority.FLASH,
    "4": Priority.FLASH_TIMED,
}

# Administrative documents by their number in the group (Amendment 1:2022 to QCVN 102), which
# is that of NĐ 30/2020/NĐ-CP Art. 7. Senders disagree on numbers; the name decides.
ADMINISTRATIVE: Final = (
    "Nghị quyết", "Quyết định", "Chỉ thị", "Quy chế", "Quy định", "Thông cáo", "Thông báo",
    "Hướng dẫn", "Chương trình", "Kế hoạch", "Phương án", "Đề án", "Dự án", "Báo cáo",
    "Biên bản", "Tờ trình", "Hợp đồng", "Công văn", "Công điện", "Bản ghi nhớ", "Bản cam kết",
    "Bản thỏa thuận", "Giấy chứng nhận", "Giấy ủy quyền", "Giấy mời", "Giấy giới thiệu",
)  # fmt: skip
ADMINISTRATIVE_TYPE = "2"

_DAY = re.compile(r"(\d{4})[/-](\d{1,2})[/-](\d{1,2})(?:[ T].*)?")
_DAY_LAST = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_TIME = re.compile(r"(\d{4}[/-]\d{2}[/-]\d{2})[ T](\d{2}:\d{2}:\d{2})(?:\.\d+)?")
_NUMBER = re.compile(r"\d{1,9}")
_TYPE_CODE = re.compile(r"(\d{1,9})(?:\.(\d{1,9}))?")

# How a document says that it is a state secret (NĐ 26/2020/NĐ-CP): the mark by itself or in
# brackets, never a word of the sentence, such as "Mật độ xây dựng".
_SECRET_MARK = re.compile(r"\s*[\[(<]?\s*(?:TUYỆT MẬT|TỐI MẬT|MẬT)\s*(?:[\])>:–]|-\s|$)")
_SECRECY_ELEMENTS = frozenset({"secrecy", "secrecylevel", "securitylevel", "secretlevel", "domat"})
_NOT_SECRET = frozenset({"", "0", "none", "normal", "thường", "thuong", "không", "khong"})


def read_date(text: str | None) -> date | None:
    """A date as `2025/11/20`, also `2025-11-20` or `20/11/2025`, with or without a time."""
    said = (text or "").strip()
    if found := _DAY.fullmatch(said):
        year, month, day = found.groups()
    elif found := _DAY_LAST.fullmatch(said):
        day, month, year = found.groups()
    else:
        return None
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def read_time(text: str | None) -> datetime | None:
    """A time as `2025/11/20 14:30:05`, in Vietnam's zone; fractions of a second are left out."""
    found = _TIME.fullmatch((text or "").strip())
    if found is None:
        return None
    try:
        said = datetime.fromisoformat(f"{found[1].replace('/', '-')}T{found[2]}")
    except ValueError:
        return None
    return said.replace(tzinfo=VIETNAM)


def read_number(text: str | None, maximum: int) -> int | None:
    """A whole number from 0 to `maximum`."""
    if text is None or not _NUMBER.fullmatch(text):
        return None
    return number if (number := int(text)) <= maximum else None


def write_date(day: date) -> str:
    """A date as packages carry it. `strftime` would write the year 999 in three digits."""
    return f"{day.year:04}/{day.month:02}/{day.day:02}"


def write_time(at: datetime) -> str:
    """An aware instant as packages carry it: Vietnam's time, whole seconds."""
    # An instant within seven hours of the calendar's end has no local time.
    local = at.astimezone(VIETNAM) if at < datetime.max.replace(tzinfo=UTC) else at
    return f"{write_date(local)} {local:%H:%M:%S}"


def read_type_code(kind: str | None, detail: str | None) -> str | None:
    """Group and number as one code: `2.18`."""
    if read_number(kind, 10**9) is None:
        return None
    return kind if read_number(detail, 10**9) is None else f"{kind}.{detail}"


def write_type_code(code: str | None, name: str) -> tuple[str, str | None]:
    """Group and number for a code, or else for a kind's name."""
    if code is not None and (found := _TYPE_CODE.fullmatch(code)):
        return found[1], found[2]
    known = {_folded(kind): str(number) for number, kind in enumerate(ADMINISTRATIVE, start=1)}
    return ADMINISTRATIVE_TYPE, known.get(_folded(name))


def split_code(code: str | None) -> tuple[str | None, str | None]:
    """Number and notation of `123/VPUB-TH`."""
    number, _, notation = (code or "").partition("/")
    return number.strip() or None, notation.strip() or None


def join_code(number: str | None, notation: str | None) -> str | None:
    """Number and notation as one text, as `split_code` takes it apart."""
    return f"{number or ''}/{notation}" if notation else number


def status_code(text: str | None) -> str:
    """A status code in two digits, or the text itself."""
    code = (text or "").strip()
    return code.zfill(2) if code.isascii() and code.isdigit() else code


def is_marked_secret(text: str | None) -> bool:
    """Whether a text begins with the mark of a state secret."""
    return bool(text and _SECRET_MARK.match(unicodedata.normalize("NFC", text).upper()))


def says_secret(element: str, value: str) -> bool:
    """Whether an element that the standard does not know speaks of secrecy, and not of none."""
    said = unicodedata.normalize("NFC", value).strip().lower()
    return element.lower() in _SECRECY_ELEMENTS and said not in _NOT_SECRET


def is_status(code: str) -> bool:
    """Whether a code is one of the nine."""
    return code in names.STATUS_CODES


def _folded(name: str) -> str:
    # Both ways to write an accent on "oa", "uy": thỏa thuận, thoả thuận.
    decomposed = unicodedata.normalize("NFD", name.casefold()).replace("đ", "d")
    return " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).split())
