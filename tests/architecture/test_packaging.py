"""Each wheel carries what it is for: the vendors' no server, the hub's everything it needs."""

import email
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HUB = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SDK = tomllib.loads((ROOT / "hub" / "client" / "pyproject.toml").read_text())["project"]


def build_wheel(folder: Path, out: Path) -> zipfile.ZipFile:
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = out.glob("*.whl")
    return zipfile.ZipFile(wheel)


def contents(wheel: zipfile.ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if ".dist-info/" not in name}


def files(*patterns: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for pattern in patterns
        for path in ROOT.glob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def sdk_wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return build_wheel(ROOT / "hub" / "client", tmp_path_factory.mktemp("sdk"))


def test_the_vendors_wheel_holds_the_client_and_what_it_stands_on_only(
    sdk_wheel: zipfile.ZipFile,
):
    assert contents(sdk_wheel) == files(
        "hub/__init__.py", "hub/errors.py", "hub/proof/**/*", "hub/v1/**/*", "hub/client/*.py"
    )


def test_the_vendors_wheel_needs_three_packages_with_the_floors_of_the_hub(
    sdk_wheel: zipfile.ZipFile,
):
    (metadata,) = (name for name in sdk_wheel.namelist() if name.endswith("/METADATA"))
    message = email.message_from_bytes(sdk_wheel.read(metadata))
    assert message["Name"] == "lienthong-client"
    assert message["Version"] == HUB["version"]
    assert message["Requires-Python"] == HUB["requires-python"]
    assert sorted(SDK["dependencies"]) == sorted(
        entry
        for entry in HUB["dependencies"]
        if entry.split(">=")[0] in {"grpcio", "protobuf", "cryptography"}
    )
    assert len(message.get_all("Requires-Dist")) == len(SDK["dependencies"]) == 3


def test_the_vendors_wheel_imports_where_there_is_no_hub(
    sdk_wheel: zipfile.ZipFile, tmp_path: Path
):
    sdk_wheel.extractall(tmp_path)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import hub.client, hub.proof\n"
        f"assert hub.client.__file__.startswith({str(tmp_path)!r}), hub.client.__file__\n"
        "import importlib.util\n"
        "assert importlib.util.find_spec('hub.server') is None"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)


def test_the_hubs_wheel_holds_everything_it_runs_with(tmp_path: Path):
    shipped = contents(build_wheel(ROOT, tmp_path))
    expected = files("hub/**/*", "adapters/**/*", "keys/**/*") - {"hub/client/pyproject.toml"}
    assert shipped == expected
