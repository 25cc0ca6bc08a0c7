"""Two spellings of the same Vietnamese words are found by each other."""

import unicodedata

import pytest

from hub.domain.folding import as_searched, fold, words_of


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("", ""),
        ("Đề án", "de an"),
        ("ĐỀ ÁN", "de an"),
        ("đường Điện Biên Phủ", "duong dien bien phu"),
        ("Ưu tiên người khuyết tật", "uu tien nguoi khuyet tat"),
        ("Ơn, ơ, Ờ, Ở, Ỡ, Ớ, Ợ", "on, o, o, o, o, o, o"),
        ("ÂĂẦẤẨẪẬẰẮẲẴẶ", "a" * 12),
        ("ỲÝỶỸỴ ỳýỷỹỵ", "yyyyy yyyyy"),
        ("hoà hòa HOÀ HÒA", "hoa hoa hoa hoa"),
        ("thuỷ thủy", "thuy thuy"),
        ("15/QĐ-UBND", "15/qd-ubnd"),
        ("Ðắk Lắk", "dak lak"),
        ("ｖăn bản", "van ban"),
        ("ℌồ Chí Minh", "ho chi minh"),
        ("vi\u00adệc", "viec"),
        ("số 1²", "so 12"),
    ],
)
def test_case_diacritics_and_strokes_make_no_difference(text: str, folded: str):
    assert fold(text) == folded
    assert fold(fold(text)) == folded


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_composed_and_decomposed_text_is_the_same(form: str):
    text = "Về việc triển khai Nghị định số 30/2020/NĐ-CP, ưu đãi thuế"
    assert fold(unicodedata.normalize(form, text)) == fold(text)


def test_marks_in_any_order_are_the_same():
    assert fold("e\u0302\u0323") == fold("e\u0323\u0302") == fold("ệ") == "e"


def test_every_vietnamese_letter_becomes_a_plain_one():
    vowels = "aăâeêioôơuưy"
    tones = ["", "\u0300", "\u0301", "\u0303", "\u0309", "\u0323"]
    letters = {unicodedata.normalize("NFC", v + tone) for v in vowels for tone in tones} | {"đ"}
    assert len(letters) == 12 * 6 + 1
    for letter in letters:
        assert fold(letter) in set("aeiouyd")
        assert fold(letter.upper()) == fold(letter)


def test_words_are_runs_of_letters_and_digits():
    assert words_of("V/v: báo cáo (lần 2), số 125/UBND-VP.") == (
        "v", "v", "bao", "cao", "lan", "2", "so", "125", "ubnd", "vp",
    )  # fmt: skip
    assert words_of("một\u200bhai\nba_bốn") == ("mot", "hai", "ba", "bon")
    assert words_of(" –…% ") == ()


def test_a_word_stands_between_spaces():
    assert as_searched("Đề án") == " de an "
    assert as_searched("…") == ""
    assert " an " in as_searched("Đề án")
    assert " a " not in as_searched("Đề án")
