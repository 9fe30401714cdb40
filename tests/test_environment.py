"""One list of dependencies in two files (pyproject.toml, environment.yml), which contains every import."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: Not imported anywhere, and why each is needed all the same.
NOT_IMPORTED = {
    "anyio": "a version is excluded",
    "ipykernel": "the notebooks' kernel",
    "nest-asyncio": "the course's caution",
    "nest-asyncio2": "the course's cure",
    "sniffio": "httpcore is slow without",
}


def requirement_names(lines: list[str]) -> set[str]:
    return {re.split(r"[<>=!;\s\[]", line)[0].lower() for line in lines}


def test_conda_and_binder_install_what_pip_installs() -> None:
    """environment.yml lists pyproject's dependencies, word for word, and then the package itself."""
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    lines = [line.strip()[2:] for line in text.partition("- pip:\n")[2].splitlines()]
    listed = [ast.literal_eval(line) if line[0] in "'\"" else line for line in lines]
    assert listed == [*PROJECT["dependencies"], "-e ."]
    pin = re.compile(r"^  - python=3\.1[1-4]$", re.MULTILINE)
    binder = (ROOT / ".binder" / "environment.yml").read_text(encoding="utf-8")
    assert pin.findall(text) == pin.findall(binder) != []
    # pip finds the dependencies in pyproject.toml, from Binder's folder.
    assert binder.partition("- pip:\n")[2].split() == ["-", "-e", ".."]


def notebook_code(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def sources() -> list[tuple[str, str]]:
    modules = [(str(path), path.read_text(encoding="utf-8")) for path in sorted((ROOT / "supalab").rglob("*.py"))]
    books = [(str(path), notebook_code(path)) for path in sorted((ROOT / "notebooks").rglob("*.ipynb"))]
    assert modules
    assert books
    return modules + books


@cache
def installed() -> Mapping[str, list[str]]:
    """Which distributions each module comes from; asked once, because it reads the files of every installed package."""
    return packages_distributions()


def imported(code: str) -> set[str]:
    tree = compile(code, "code", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"supalab"}


@pytest.mark.parametrize(("where", "code"), sources(), ids=lambda value: Path(value).name if len(value) < 300 else "")
def test_every_import_is_a_declared_dependency(where: str, code: str) -> None:
    """A module or notebook that imports something else breaks on a fresh machine."""
    declared = requirement_names(PROJECT["dependencies"])
    # Both import other people's clients only where they are installed, and say so where they are not.
    if Path(where).name == "peers.py" or "12_bring_your_own_client" in where:
        declared |= requirement_names(PROJECT["optional-dependencies"]["peers"])  # imported when asked for
    installed_by = installed()
    for name in imported(code):
        providers = {provider.lower().replace("_", "-") for provider in installed_by.get(name, [name])}
        assert providers & declared, f"{where} imports {name}, which pyproject.toml does not list"


def test_every_dependency_earns_its_place() -> None:
    """Each listed package is imported, or has a reason written here."""
    used = set().union(*(imported(code) for _, code in sources()))
    assert used
    providers = installed()
    names = {provider.lower().replace("_", "-") for name in used for provider in providers.get(name, [name])}
    declared = requirement_names(PROJECT["dependencies"])
    assert declared - names - {"uvloop"} <= set(NOT_IMPORTED), "unused: say why, or drop it"
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for line in text.partition("dependencies = [")[2].partition("]\n\n[project.scripts")[0].splitlines():
        if line.startswith('    "'):
            assert len(line.partition("  # ")[2].split()) in (2, 3, 4), f"say why in three words: {line}"


def test_the_top_level_holds_only_what_was_agreed() -> None:
    """Notebooks, package, data, tests, environment, project file, README, licence and dot files."""
    import subprocess

    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    top = {line.partition("/")[0] for line in done.stdout.splitlines()}
    agreed = {"notebooks", "supalab", "data", "tests", "environment.yml", "pyproject.toml", "README.md", "LICENSE"}
    assert {name for name in top if not name.startswith(".")} <= agreed
