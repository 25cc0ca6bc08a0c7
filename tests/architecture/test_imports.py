"""Who may import whom: the contracts hold, and each of them would notice a breach."""

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sys.prefix) / "bin" / "lint-imports"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]

# Commands that run a hub themselves, or look into its folder; all others only talk to one.
COMMANDS_THAT_RUN_A_HUB = {
    "audit_rebuild",
    "axis",
    "ca",
    "config",
    "custody",
    "health",
    "init",
    "ledger",
    "migrate",
    "reopen",
    "restore",
    "serve",
    "signer",
    "signer_link",
}

# For each contract, one import that must never be written, and where.
BREACHES = {
    "layers": ("hub/domain", "import hub.application"),
    "vendor-set": ("hub/client", "import eventsourcing"),
    "model": ("hub/ledger", "import sqlalchemy"),
    "wire": ("hub/projections", "from hub.v1 import exchange_pb2"),
    "command": ("hub/cli", "import hub.domain"),
    "wiring": ("hub/cli", "import hub.bootstrap"),
    "adapters": ("adapters/memory", "import adapters.storage"),
    "witness": ("hub/witness", "import hub.config"),
    "validators": ("hub/application", "import rfc3161_client"),
    "monitoring": ("hub/application", "import prometheus_client"),
    "custodian": ("keys", "import hub.application"),
    "custody": ("hub/server", "import keys"),
    "simulated-axis": ("adapters/axis/simulator", "import adapters.axis.national.wire"),
    "codec": ("adapters/axis/edxml", "import tempfile"),
}


def lint_imports(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-logo", "--no-cache", *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_import_contract_holds():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_contract_has_a_breach_to_catch():
    assert set(BREACHES) == {contract["id"] for contract in CONTRACTS}


@pytest.mark.parametrize("contract", BREACHES)
def test_a_breach_is_caught(contract: str, tmp_path: Path):
    only_python = shutil.ignore_patterns("__pycache__", "*.pyi", "migrations", "locale")
    for package in ("hub", "adapters", "keys"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=only_python)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert lint_imports(tmp_path, "--contract", contract).returncode == 0

    folder, forbidden_import = BREACHES[contract]
    (tmp_path / folder / "planted.py").write_text(f"{forbidden_import}\n")

    result = lint_imports(tmp_path, "--contract", contract)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "0 kept, 1 broken" in result.stdout, result.stdout + result.stderr


def test_every_package_of_the_hub_is_under_some_contract():
    named = {
        module.strip("() ")
        for contract in CONTRACTS
        for key in ("layers", "source_modules", "protected_modules", "modules")
        for entry in contract.get(key, ())
        for module in entry.split("|")
    }
    packages = {
        f"{parent}.{folder.name}"
        for parent in ("hub", "adapters")
        for folder in (ROOT / parent).iterdir()
        if (folder / "__init__.py").exists()
    }
    assert packages - named == set()


def test_the_wiring_is_imported_only_inside_functions():
    """`lienthong --help`, and every command that only talks to a hub, loads no server."""
    for path in sorted((ROOT / "hub" / "cli").rglob("*.py")):
        for imported, inside_function in _imports(ast.parse(path.read_text())):
            if imported.startswith("hub.bootstrap"):
                assert inside_function, f"{path}: import hub.bootstrap inside the function"
                assert path.stem in COMMANDS_THAT_RUN_A_HUB, path


def _imports(node: ast.AST, inside_function: bool = False) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue  # Never imported when it runs.
        inside = inside_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(child, ast.Import):
            found += [(alias.name, inside) for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            found += [(f"{child.module}.{alias.name}", inside) for alias in child.names]
        else:
            found += _imports(child, inside)
    return found


@pytest.mark.parametrize(
    "package", ["hub.client", "hub.proof", "hub.cli.main", "hub.witness.server"]
)
def test_what_runs_beside_a_hub_loads_no_server(package: str):
    """The contracts read source; this one looks at what a process really loads."""
    then = f"{package}.build()" if package == "hub.cli.main" else "pass"
    program = f"import {package}, sys; {then}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    servers_own = {"eventsourcing", "sqlalchemy", "alembic", "adapters", "keys", "hub.server"}
    assert servers_own.isdisjoint(loaded)
