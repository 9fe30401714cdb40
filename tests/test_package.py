"""The package as a whole: cheap to import, typed, formatted, with one list of public names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import supalab
from supalab import errors

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "supalab").rglob("*.py"))


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )


def test_public_names_agree() -> None:
    """__all__, what type checkers see and what is imported on first use are one list."""
    tree = ast.parse((ROOT / "supalab" / "__init__.py").read_text(encoding="utf-8"))
    seen = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(supalab.__all__) == (seen - {"annotations", "import_module", "TYPE_CHECKING"}) | {"__version__"}
    for name in supalab.__all__:
        assert getattr(supalab, name) is not None
    assert dir(supalab) == sorted(supalab.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = supalab.nothing


def test_the_error_tree_is_the_one_drawn() -> None:
    """The docstring's drawing names every error, below its parent."""
    drawn: list[tuple[int, str]] = [
        (match.start(1), match[1])
        for match in re.finditer(r"^ +[│├└─ ]*([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)
    ]
    assert {name for _, name in drawn} == set(errors.__all__)
    columns = {name: len((errors.__doc__ or "")[:start].rpartition("\n")[2]) for start, name in drawn}
    for name in errors.__all__:
        parent = getattr(errors, name).__mro__[1].__name__
        assert parent == "Exception" or columns[parent] < columns[name]


def test_importing_supalab_loads_nothing_heavy() -> None:
    """Neither the import nor --help pays for plotting, Jupyter or a network library."""
    code = (
        "import sys, supalab\nfrom supalab.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'matplotlib','jupyterlab','httpx','aiohttp','requests','uvicorn',"
        "'IPython','pandas','numpy','psutil'}\n"
        "sys.exit(str(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
    assert "race" in done.stdout


def test_importing_supalab_costs_at_most_half_more_than_httpx() -> None:
    """Modules loaded stand for time here, because they do not depend on the machine: even the client stays close."""
    count = "import sys; before = len(sys.modules); import {}; print(len(sys.modules) - before)"
    httpx, ours = (int(run("-c", count.format(name)).stdout) for name in ("httpx", "supalab"))
    assert ours <= 1.5 * httpx
    client = int(run("-c", count.format("supalab; supalab.SupabaseAsync")).stdout)
    assert client <= 1.5 * httpx


def code_lines(text: str, tree: ast.Module) -> int:
    """Count the lines that hold code: neither blank, nor a comment, nor part of a docstring."""
    described = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    words = {
        line
        for node in ast.walk(tree)
        if isinstance(node, described) and ast.get_docstring(node) is not None
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    plain = {number for number, line in enumerate(text.splitlines(), 1) if line.strip() and line.strip()[0] != "#"}
    return len(plain - words)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT / "supalab")))
def test_modules_are_small_and_explain_themselves(path: Path) -> None:
    """At most 350 lines of code, a docstring, functions under 35 lines, unless a comment beside the line says why."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    tree = ast.parse(text)
    assert code_lines(text, tree) <= 350
    assert ast.get_docstring(tree), "every module says what flows through it"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            reasoned = "long:" in lines[node.lineno - 2] + lines[node.lineno - 1]
            assert length < 35 or reasoned, f"{node.name} has {length} lines"


def test_imports_point_one_way() -> None:
    """Pure modules do no I/O, clients and lab never import measure, nothing imports the command line or the course."""
    pure = {"errors", "settings", "query_values", "filters", "wire", "replies"}
    for path in MODULES:
        room = path.relative_to(ROOT / "supalab").parts[0].removesuffix(".py")
        for name in re.findall(r"^\s*(?:from|import) (supalab[\w.]*)", path.read_text(encoding="utf-8"), re.MULTILINE):
            target = [*name.split("."), ""][1]
            if room in pure:
                assert target in pure, f"{path.name} imports {name}"
            if room == "process":
                assert target in pure | {"process"}, f"{path.name} imports {name}"
            if room in {"clients", "lab"}:
                assert target not in {"measure", "figures"}, f"{path.name} imports {name}"
            assert target not in {"cli", "course"} or room in {"course", "commands", "__main__"}, (
                f"{path.name} imports {name}"
            )


def test_the_repository_is_small_enough_for_bad_wifi() -> None:
    """What a clone brings, its last version alone, stays under 10 MB: its files, and the same once more, packed."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no checkout of git")
    files = [ROOT / name for name in listed.decode().split("\0") if name]
    contents = [path.read_bytes() for path in files if path.is_file()]
    assert len(contents) > 100
    assert sum(len(data) + len(zlib.compress(data)) for data in contents) < 10_000_000


def test_ruff_and_mypy_agree() -> None:
    """Lint, format and strict types are part of the tests."""
    for command in (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]):
        done = run("-m", *command)
        assert done.returncode == 0, done.stdout + done.stderr
