"""How PostgreSQL reads the text form of each type: text flows in, the stored value or PostgreSQL's own error flows out.

Messages and codes (22P02, 22003, 22007, 22008, 22001) are those of PostgreSQL 15, tried out on a server.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, NoReturn
from uuid import UUID

from supalab.lab.dialect.refusal import pg_refusal

if TYPE_CHECKING:
    from collections.abc import Callable

_INTEGER = re.compile(r"[ \t\n\r\f\v]*([+-]?[0-9]+)[ \t\n\r\f\v]*")
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*", re.ASCII)
_HEX = r"[0-9a-fA-F]{4}(?:-?[0-9a-fA-F]{4}){7}"
_UUID = re.compile(rf"{_HEX}|\{{{_HEX}\}}")
_DAY = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?!\d)")
_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")


def _syntax(kind: str, text: str, code: str = "22P02") -> NoReturn:
    raise pg_refusal(code, f'invalid input syntax for type {kind}: "{text}"')


def read_text(text: str) -> str:
    """Return the text; raises 22021 for one with a NUL, which PostgreSQL cannot hold."""
    if "\0" in text:
        raise pg_refusal("22021", 'invalid byte sequence for encoding "UTF8": 0x00')
    return text


def limited_text(name: str, limit: int) -> Callable[[str], str]:
    """Return the reader of ``varchar(limit)``; too long is 22001, unless only blanks are over."""

    def read(text: str) -> str:
        if len(read_text(text)) > limit and text[limit:].strip(" "):
            raise pg_refusal("22001", f"value too long for type {name}")
        return text[:limit]

    return read


def integer_reader(name: str, bits: int) -> Callable[[str], int]:
    """Return the reader of an integer type of so many bits besides the sign."""
    lowest, highest = -(2**bits), 2**bits - 1

    def read(text: str) -> int:
        match = _INTEGER.fullmatch(text)
        if match is None:
            _syntax(name, text)
        value = int(match[1]) if len(match[1]) < 40 else highest + 1
        if not lowest <= value <= highest:
            raise pg_refusal("22003", f'value "{text}" is out of range for type {name}')
        return value

    return read


def float_reader(name: str) -> Callable[[str], float]:
    """Return the reader of a floating-point type; NaN is refused, because SQLite would store NULL."""

    def read(text: str) -> float:
        word = text.strip().lower().lstrip("+-")
        if word in ("infinity", "inf"):
            return -math.inf if text.strip().startswith("-") else math.inf
        if not _NUMBER.fullmatch(text):
            _syntax(name, text)
        value = float(text)
        if math.isinf(value) or (value == 0 and re.match(r"[^eE]*[1-9]", text)):
            raise pg_refusal("22003", f'"{text.strip()}" is out of range for type {name}')
        return value

    return read


def numeric_reader(precision: int | None, scale: int | None) -> Callable[[str], int | float]:
    """Return the reader of ``numeric(precision, scale)``."""

    def read(text: str) -> int | float:
        if not _NUMBER.fullmatch(text):
            _syntax("numeric", text)
        value = _decimal(text)
        if precision is not None:
            value = _fit(value, precision, scale or 0)
        whole = abs(value) < 2**63 and value == value.to_integral_value()
        return int(value) if whole else float(value)

    return read


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text.strip())
        if abs(value.adjusted()) > 300:
            raise InvalidOperation
    except InvalidOperation:
        raise pg_refusal("22003", "value overflows numeric format") from None
    return value


def _fit(value: Decimal, precision: int, scale: int) -> Decimal:
    try:
        rounded = value.quantize(Decimal(1).scaleb(-scale), rounding="ROUND_HALF_UP")
    except InvalidOperation:
        rounded = value
    if abs(rounded) >= Decimal(10) ** (precision - scale):
        bound = f"10^{precision - scale}" if precision > scale else "1"
        details = (
            f"A field with precision {precision}, scale {scale} must round to an absolute value less than {bound}."
        )
        raise pg_refusal("22003", "numeric field overflow", details=details)
    return rounded


def read_boolean(text: str) -> int:
    """Return 1 or 0 for the words PostgreSQL takes, and for their unambiguous beginnings."""
    word = text.strip().lower()
    if word and word != "o":
        if any(full.startswith(word) for full in _TRUE):
            return 1
        if any(full.startswith(word) for full in _FALSE):
            return 0
    return _syntax("boolean", text)


def read_json(text: str) -> str:
    """Return JSON text as it is."""
    _load(text)
    return text


def read_jsonb(text: str) -> str:
    """Return JSON in one form, so that equal values are equal texts: keys sorted as jsonb sorts them."""
    return json.dumps(_sorted(_load(text)), ensure_ascii=False)


def _load(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        word = re.match(r"\s*(\w+|.)?", text)
        token = word[1] if word and word[1] else ""
        details = f'Token "{token}" is invalid.' if token else "The input string ended unexpectedly."
        raise pg_refusal("22P02", "invalid input syntax for type json", details=details) from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (len(key.encode()), key))
        return {key: _sorted(value[key]) for key in keys}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def read_uuid(text: str) -> str:
    """Return a UUID in small letters with dashes."""
    if not _UUID.fullmatch(text):
        _syntax("uuid", text)
    return str(UUID(text))


def read_bytea(text: str) -> str:
    r"""Return bytes in PostgreSQL's hexadecimal form, ``\x…``."""
    if text.startswith("\\x"):
        try:
            return "\\x" + bytes.fromhex(text[2:]).hex()
        except ValueError:
            raise pg_refusal("22023", f'invalid hexadecimal digit: "{text[2:3]}"') from None
    return "\\x" + text.encode().hex()


def _moment(kind: str, text: str) -> datetime:
    word = _DAY.sub(lambda day: f"{day[1]}-{day[2]:0>2}-{day[3]:0>2}", text.strip(), count=1)
    if word.lower() in ("now", "today"):
        moment = datetime.now(UTC)
        return moment if word.lower() == "now" else moment.replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        return datetime.fromisoformat(re.sub(r"\s+(?=[+-]\d|[zZ]$)", "", word).replace("z", "Z"))
    except ValueError:
        pass
    if re.match(r"\d{4}-\d{1,2}-\d{1,2}", word):
        raise pg_refusal("22008", f'date/time field value out of range: "{text}"')
    _syntax(kind, text, "22007")


def read_date(text: str) -> str:
    """Return a day as ``2026-01-31``; the time of day is dropped."""
    return _moment("date", text).date().isoformat()


def read_time(text: str) -> str:
    """Return a time of day as ``09:30:00``."""
    try:
        return _trimmed(time.fromisoformat(text.strip()).replace(tzinfo=None).isoformat())
    except ValueError:
        if re.match(r"\s*\d{1,2}:\d{2}", text):
            raise pg_refusal("22008", f'date/time field value out of range: "{text}"') from None
        return _syntax("time", text, "22007")


def read_timestamp(text: str) -> str:
    """Return a moment without zone as ``2026-01-31T09:30:00``; a zone that is given is dropped, as PostgreSQL does."""
    return _trimmed(_moment("timestamp", text).replace(tzinfo=None).isoformat())


def read_timestamptz(text: str) -> str:
    """Return a moment in UTC as ``2026-01-31T09:30:00+00:00``; without a zone it is taken as UTC."""
    moment = _moment("timestamp with time zone", text)
    try:
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise pg_refusal("22008", f'timestamp out of range: "{text}"') from None
    return _trimmed(moment.replace(tzinfo=None).isoformat()) + "+00:00"


def _trimmed(text: str) -> str:
    """Drop zeros at the end of a fraction of a second: texts then sort as the moments do."""
    return text.rstrip("0") if "." in text else text


def show_timestamp(value: str) -> str:
    """Return a stored moment as PostgreSQL writes it outside JSON: a blank for the T, a short zone."""
    return str(value).replace("T", " ").replace("+00:00", "+00")
