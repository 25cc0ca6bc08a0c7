"""Files for a moment are files like others, but for what a disk gets to see of them."""

import os
import random
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

from adapters.memory.determinism import CountedRandomness
from adapters.storage.scratch import scratch_in


def test_it_reads_and_writes_anywhere_like_a_file_in_memory(tmp_path: Path):
    chance, model = random.Random(3), BytesIO()
    with scratch_in(tmp_path, CountedRandomness())() as file:
        for _ in range(400):
            place = chance.randrange(0, 200_000)
            match chance.randrange(4):
                case 0:
                    data = chance.randbytes(chance.randrange(0, 5_000))
                    place = min(place, len(model.getvalue()))
                    file.seek(place)
                    model.seek(place)
                    file.write(data)
                    model.write(data)
                case 1:
                    file.seek(place)
                    model.seek(place)
                    size = chance.randrange(0, 5_000)
                    assert file.read(size) == model.read(size)
                case 2:
                    assert file.seek(0, os.SEEK_END) == model.seek(0, os.SEEK_END)
                case 3:
                    assert file.tell() == model.tell()
        file.seek(0)
        assert file.read() == model.getvalue()


def test_a_zip_is_written_into_it_and_read_from_it(tmp_path: Path):
    with scratch_in(tmp_path, CountedRandomness())() as file:
        with ZipFile(file, "w") as archive:
            archive.writestr("a.txt", b"noi dung" * 1000)
        with ZipFile(file) as archive:
            assert archive.read("a.txt") == b"noi dung" * 1000


def test_nothing_of_it_lies_on_the_disk_in_clear_or_under_a_name(tmp_path: Path):
    secret = b"van ban mat cua co quan " * 1000
    with scratch_in(tmp_path, CountedRandomness())() as file:
        file.write(secret)
        file.flush()
        raw = file.raw._file  # type: ignore[attr-defined]
        raw.seek(0)
        stored = raw.read()
        assert len(stored) == len(secret)
        assert secret[:24] not in stored
        assert list(tmp_path.iterdir()) == []
