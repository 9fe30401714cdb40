"""Content negotiation: an ``Accept`` or ``Content-Type`` header flows in, a media type the lab can write flows out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from supalab.lab.dialect.refusal import JSON_TYPE, Refusal

__all__ = ["CSV", "JSON", "Media", "body_type", "negotiate", "negotiate_root"]


@dataclass(frozen=True, slots=True)
class Media:
    """One form of an answer: its ``Content-Type``, and whether it is a single object, CSV, without its nulls.

    ``geo``: GeoJSON, which PostgREST offers but the database can only write with PostGIS.
    """

    content_type: str
    single: bool = False
    csv: bool = False
    stripped: bool = False
    geo: bool = False


JSON = Media(JSON_TYPE)
CSV = Media("text/csv; charset=utf-8", csv=True)
OPENAPI_TYPE = "application/openapi+json; charset=utf-8"
_MIME = re.compile(
    r"([A-Za-z0-9.*]+)/([A-Za-z0-9.*+-]+)((?:\s*;\s*[A-Za-z0-9-]+\s*=\s*(?:\"[^\"]*\"|[A-Za-z0-9|-]+))*)"
)
_PARAMETER = re.compile(r";\s*([A-Za-z0-9-]+)\s*=\s*(?:\"([^\"]*)\"|([A-Za-z0-9|-]+))")
_QUALITY = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def _split(mime: str) -> tuple[str, dict[str, str]]:
    match = _MIME.match(mime)
    if match is None:
        return mime.lower(), {}
    parameters = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(match[3])}
    return f"{match[1]}/{match[2]}".lower(), parameters


def _accepted(header: str) -> list[str]:
    """Return the media types of an ``Accept`` header, the best liked first; of equals, the more specific one."""
    ranked: list[tuple[float, int, str]] = []
    for part in header.replace(" ", "").split(","):
        mime, _, weight = part.partition(";q=")
        quality = _QUALITY.match(weight)
        ranked.append((float(quality[0]) if quality else 1.0, mime.count(";") - mime.count("*"), mime))
    return [mime for *_, mime in sorted(ranked, key=lambda item: (-item[0], -item[1]))]


def _media(mime: str) -> Media | None:
    name, parameters = _split(mime)
    stripped = parameters.get("nulls") == "stripped"
    suffix = ";nulls=stripped" if stripped else ""
    if name in ("application/vnd.pgrst.object+json", "application/vnd.pgrst.object"):
        kind = f"application/vnd.pgrst.object+json{suffix}; charset=utf-8"
        return Media(kind, single=True, stripped=stripped)
    if name in ("application/vnd.pgrst.array+json", "application/vnd.pgrst.array"):
        kind = f"application/vnd.pgrst.array+json{suffix}; charset=utf-8" if stripped else JSON_TYPE
        return Media(kind, stripped=stripped)
    if name in ("*/*", "application/json"):
        return JSON
    if name == "application/geo+json":
        return Media(f"{name}; charset=utf-8", geo=True)
    return CSV if name == "text/csv" else None


@lru_cache(maxsize=256)
def negotiate(accept: str) -> Media:
    """Return the first form that the client accepts and the lab can write; raises PGRST107 when there is none."""
    names = _accepted(accept)
    found = next((media for media in map(_media, names) if media is not None), None)
    if found is None:
        raise _unacceptable(names)
    return found


@lru_cache(maxsize=64)
def negotiate_root(accept: str) -> str:
    """Return the media type of the description at ``/``; raises PGRST107 when the client takes no JSON."""
    names = _accepted(accept)
    if not {"*/*", "application/json", "application/openapi+json"} & {_split(name)[0] for name in names}:
        raise _unacceptable(names)
    return OPENAPI_TYPE


def _unacceptable(names: list[str]) -> Refusal:
    return Refusal(406, "PGRST107", f"None of these media types are available: {', '.join(names)}")


@lru_cache(maxsize=128)
def body_type(content_type: str) -> str:
    """Return ``json``, ``csv`` or ``form``; raises PGRST102 for a body that PostgREST does not take."""
    name, parameters = _split(content_type)
    kinds = {"application/json": "json", "text/csv": "csv", "application/x-www-form-urlencoded": "form"}
    if name.startswith("application/vnd.pgrst.array") and parameters.get("nulls") != "stripped":
        return "json"
    if name not in kinds:
        known = name if name in ("text/plain", "text/xml", "application/octet-stream") else content_type
        raise Refusal(400, "PGRST102", f"Content-Type not acceptable: {known}")
    return kinds[name]
