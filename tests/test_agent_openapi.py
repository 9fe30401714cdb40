"""The service's OpenAPI document, compared with the running service by schemathesis."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agentwork import options_for

from supalab import Lab
from supalab.contest_agent.app import create_app
from supalab.contest_agent.handle import Agent

EXAMPLES = 12


@pytest.fixture(scope="module")
def document(lab: Lab) -> Any:
    return create_app(options_for(lab, "real")).openapi()


def test_every_operation_answers_as_its_document_says(tmp_path: Path) -> None:
    """Examples, edge cases, random values and sequences: status, type and body of each response are declared.

    Invalid input is refused, valid input is accepted, created contests are found; all of schemathesis' checks are on.
    """
    words = ["--phases", "examples,coverage,fuzzing,stateful", "--checks", "all", "--no-color"]
    # Deterministic: a run of the tests must not depend on chance, and each example is tried each time.
    words += ["--generation-deterministic", "--max-examples", str(EXAMPLES)]
    with Lab() as lab, Agent(client="real", url=lab.url, key=lab.key) as agent:
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "run", f"{agent.url}/openapi.json", *words],
            cwd=tmp_path,
            env=os.environ | {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=100,
        )
        key, log = lab.key, agent.log.read_text(encoding="utf-8")
    assert done.returncode == 0, done.stdout
    assert "8 selected / 8 total" in done.stdout
    assert log.count('"message": "request"') > 300
    assert '"status": 500' not in log
    assert key not in log + done.stdout


def test_every_error_is_declared_as_a_problem(document: Any) -> None:
    """All error responses have the same media type and schema."""
    answers = {
        (path, method, status): answer["content"]
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        for status, answer in operation["responses"].items()
        if status >= "400"
    }
    assert len(answers) > 20
    for where, content in answers.items():
        assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}, where


def test_every_operation_says_what_it_does(document: Any) -> None:
    """Each has a sentence, a tag, and declares the backend's errors if it uses one."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["description"].endswith(".")
            assert operation["tags"]
            asks = path.startswith(("/contests", "/deadlines"))
            assert not asks or {"422", "502", "503", "504"} <= operation["responses"].keys(), (path, method)
