"""The OpenAPI document: FastAPI's flows in, one whose errors have their true media type flows out. Pure."""

from __future__ import annotations

from typing import Any

from supalab.contest_agent.problems import MEDIA_TYPE

__all__ = ["methods_of", "with_problems"]

METHODS = ("get", "head", "post", "patch", "put", "delete")


def with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with every error answer declared as problem details."""
    for path in document["paths"].values():
        for operation in path.values():
            for status, answer in operation["responses"].items():
                if status[0] in "45" and "application/json" in answer.get("content", {}):
                    answer["content"] = {MEDIA_TYPE: answer["content"]["application/json"]}
    return document


def methods_of(document: dict[str, Any], template: str) -> list[str]:
    """Return the methods that a path has."""
    operations = document["paths"].get(template, {})
    return [method.upper() for method in METHODS if method in operations]
