"""The contract reads as prose, keeps its own rules, and takes back nothing it promised."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos"
BUF = Path(sys.prefix) / "bin" / "buf"

# `buf build protos -o` this at each release: what is in it may no longer be taken back.
RELEASED = PROTOS / "released" / "hub.v1.binpb"


def buf(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUF, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[FileDescriptorProto]:
    """Our proto files as protoc sees them, comments included."""
    out = tmp_path_factory.mktemp("protos") / "set.binpb"
    sources = sorted(str(path) for path in PROTOS.rglob("*.proto"))
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTOS}"),
            *("--include_source_info", f"--descriptor_set_out={out}"),
            *sources,
        ],
        check=True,
    )
    found = list(FileDescriptorSet.FromString(out.read_bytes()).file)
    assert found
    return found


def test_buf_finds_nothing_to_say():
    result = buf("lint")
    assert result.returncode == 0, result.stdout + result.stderr


def test_nothing_released_is_broken():
    if not RELEASED.exists():
        changelog = (ROOT / "CHANGELOG.md").read_text()
        releases = re.findall(r"^## \[\d[^]]*\]", changelog, flags=re.MULTILINE)
        assert releases == [], f"there are releases, so commit their protos: {RELEASED}"
        return
    result = buf("breaking", "--against", RELEASED)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_broken_promise_would_be_noticed(tmp_path: Path):
    """A field that vanishes without being reserved, against an image made as for a release."""
    image = tmp_path / "hub.v1.binpb"
    assert buf("build", "protos", "-o", image).returncode == 0
    shutil.copytree(PROTOS, tmp_path / "protos")
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    contract = tmp_path / "protos" / "hub" / "v1" / "exchange.proto"
    shorter, removed = re.subn(r"(?m)^  \S+ \w+ = 2;$", "", contract.read_text(), count=1)
    assert removed == 1
    contract.write_text(shorter)

    result = buf("breaking", "--against", image, cwd=tmp_path)

    assert result.returncode != 0
    assert "was deleted" in result.stdout + result.stderr


def test_every_element_has_a_comment(files: list[FileDescriptorProto]):
    silent = [
        f"{file.name}: {name}"
        for file in files
        for name, path in _elements(file)
        if not _leading_comment(file, path)
    ]
    assert silent == []


def test_every_method_has_a_request_and_a_response_of_its_own(files: list[FileDescriptorProto]):
    for file in files:
        for service in file.service:
            assert service.name.endswith("Service")
            for method in service.method:
                assert method.input_type == f".hub.v1.{method.name}Request"
                assert method.output_type == f".hub.v1.{method.name}Response"
    methods = [method.name for file in files for s in file.service for method in s.method]
    assert len(methods) == len(set(methods)), "two methods of one name would share their messages"


def test_requests_and_responses_stand_in_the_order_of_their_methods(
    files: list[FileDescriptorProto],
):
    for file in files:
        wanted = [
            f"{method.name}{kind}"
            for service in file.service
            for method in service.method
            for kind in ("Request", "Response")
        ]
        written = [message.name for message in file.message_type if message.name in wanted]
        assert written == wanted, file.name


def _elements(file: FileDescriptorProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every message, field, oneof, enum, value, service and method: its name and its path.

    A path is how descriptor.proto's SourceCodeInfo addresses an element: field number in
    the enclosing descriptor, index, and so on inwards.
    """
    for i, message in enumerate(file.message_type):
        yield from _message_elements(message, message.name, (4, i))
    for i, enum in enumerate(file.enum_type):
        yield from _enum_elements(enum, enum.name, (5, i))
    for i, service in enumerate(file.service):
        yield service.name, (6, i)
        for j, method in enumerate(service.method):
            yield f"{service.name}.{method.name}", (6, i, 2, j)


def _message_elements(
    message: DescriptorProto, name: str, path: tuple[int, ...]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    if message.options.map_entry:
        return  # made by protoc for a map field, whose comment is the field's
    yield name, path
    for i, field in enumerate(message.field):
        yield f"{name}.{field.name}", (*path, 2, i)
    for i, nested in enumerate(message.nested_type):
        yield from _message_elements(nested, f"{name}.{nested.name}", (*path, 3, i))
    for i, enum in enumerate(message.enum_type):
        yield from _enum_elements(enum, f"{name}.{enum.name}", (*path, 4, i))
    proto3_optional = {field.oneof_index for field in message.field if field.proto3_optional}
    for i, oneof in enumerate(message.oneof_decl):
        if i not in proto3_optional:
            yield f"{name}.{oneof.name}", (*path, 8, i)


def _enum_elements(
    enum: EnumDescriptorProto, name: str, path: tuple[int, ...]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield name, path
    for i, value in enumerate(enum.value):
        yield f"{name}.{value.name}", (*path, 2, i)


def _leading_comment(file: FileDescriptorProto, path: tuple[int, ...]) -> str:
    return next(
        (
            location.leading_comments.strip()
            for location in file.source_code_info.location
            if tuple(location.path) == path
        ),
        "",
    )
