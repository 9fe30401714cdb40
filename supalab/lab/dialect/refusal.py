"""What the lab says no with: facts about a failure flow in, one ``Refusal`` in PostgREST's error shape flows out.

Codes starting with ``PGRST`` are PostgREST's own (https://docs.postgrest.org/en/stable/references/errors.html); the
others are PostgreSQL's. Their HTTP statuses follow the table on that page.
"""

from __future__ import annotations

import json

from supalab.lab.messages import Answer

__all__ = ["JSON_TYPE", "Refusal", "pg_refusal"]

JSON_TYPE = "application/json; charset=utf-8"

_EXACT_STATUS = {
    "23503": 409,
    "23505": 409,
    "25006": 405,
    "42883": 404,
    "42P01": 404,
    "42P17": 500,
    "42501": 403,
    "P0001": 400,
    "53400": 500,
}
_CLASS_STATUS = {
    "08": 503,
    "09": 500,
    "0L": 403,
    "0P": 403,
    "21": 500,
    "25": 500,
    "28": 403,
    "2D": 500,
    "38": 500,
    "39": 500,
    "3B": 500,
    "40": 500,
    "53": 503,
    "54": 500,
    "55": 500,
    "57": 500,
    "58": 500,
    "F0": 500,
    "HV": 500,
    "P0": 500,
    "XX": 500,
}


class Refusal(Exception):
    """A request that is answered with an error; raised below ``Rest.answer`` and turned into an answer there."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: str | list[dict[str, str]] | None = None,
        hint: str | None = None,
    ) -> None:
        self.status, self.code, self.message, self.details, self.hint = status, code, message, details, hint
        super().__init__(f"{status} {code}: {message}")

    def body(self) -> bytes:
        """Return the error object: the four keys that every PostgREST error has, in its order."""
        shape = {"code": self.code, "details": self.details, "hint": self.hint, "message": self.message}
        return json.dumps(shape, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")

    def answer(self, *, head: bool = False) -> Answer:
        """Return the whole HTTP answer; with ``head`` its body is left out, its headers are not."""
        body = self.body()
        headers = (
            ("Content-Type", JSON_TYPE),
            ("Content-Length", str(len(body))),
            ("Proxy-Status", f"PostgREST; error={self.code}"),
        )
        return Answer(self.status, headers, b"" if head else body)


def pg_refusal(code: str, message: str, *, details: str | None = None, hint: str | None = None) -> Refusal:
    """Return PostgreSQL's error ``code`` with the HTTP status that PostgREST gives it (400 unless listed)."""
    status = _EXACT_STATUS.get(code) or _CLASS_STATUS.get(code[:2], 400)
    if code == "21000" and message.endswith("requires a WHERE clause"):
        status = 400
    return Refusal(status, code, message, details=details, hint=hint)
