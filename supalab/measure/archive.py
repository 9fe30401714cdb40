"""Save frozen dataclasses as JSON with a format, a version and short lines, and load them.

::

    FORM = Form("supalab-record", 1, Record, "supalab")
    FORM.save(found, "memory.json")
    FORM.load("memory.json") == found

Trials have their own, more compact form (``records``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from supalab.errors import TrialError
from supalab.report import files

__all__ = ["Form", "rounded"]

DECIMALS = 6

T = TypeVar("T")


@dataclass(frozen=True)
class Form(Generic[T]):
    """How one kind of result is written: its format's name and version, its dataclass, the command that makes it.

    The dataclass may hold others, tuples, mappings with text as keys, numbers and text. Same result, same bytes.
    """

    name: str
    version: int
    kind: type[T]
    command: str

    def dumps(self, result: T) -> str:
        """Return the result as JSON text: one line for each member, one for each item of a list of objects."""
        plain = asdict(result)  # type: ignore[call-overload]  # "any dataclass" has no name at run time
        whole = {"format": self.name, "version": self.version, **rounded(plain)}
        lines = [f" {json.dumps(name)}: {_lines(value)}" for name, value in whole.items()]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def loads(self, text: str) -> T:
        """Return the result of such text; raises TrialError, in one line, for any other."""
        from pydantic import TypeAdapter, ValidationError

        try:
            whole = json.loads(text)
        except ValueError as error:
            raise TrialError(f"not a record of {self.command}: {error}") from None
        found = (whole.pop("format", None), whole.pop("version", None)) if isinstance(whole, dict) else (None, None)
        if found != (self.name, self.version):
            raise TrialError(f"not a record of {self.command}: format {found[0]!r}, version {found[1]!r}")
        try:
            return TypeAdapter(self.kind).validate_python(whole)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise TrialError(f"a broken record of {self.command}: {place}: {first['msg']}") from None

    def save(self, result: T, path: str | Path) -> Path:
        """Write the result to a file and return its path; raises SettingsError if it cannot be written."""
        return files.write(self.dumps(result), path)

    def load(self, path: str | Path) -> T:
        """Read a result; raises SettingsError if the file cannot be read, TrialError if it holds no such record."""
        return self.loads(files.read(path, self.command))


def rounded(value: Any) -> Any:
    """Return numbers, mappings and lists with six decimals: microseconds, where they are seconds."""
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, Mapping):
        return {name: rounded(part) for name, part in value.items()}
    return [rounded(part) for part in value] if isinstance(value, (list, tuple)) else value


def _lines(value: Any) -> str:
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return json.dumps(value, allow_nan=False)
    return "[\n" + ",\n".join(f"  {json.dumps(item, allow_nan=False)}" for item in value) + "\n ]"
