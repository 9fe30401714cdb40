"""A small full-text search: a document and a query flow in, a truth value flows out.

It has PostgreSQL's four query forms over lower-case words, with a short list of stop words and a crude English stemmer;
real text search configurations know far more. The language given in brackets is checked but makes no other difference.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NoReturn

from supalab.lab.dialect.refusal import pg_refusal

__all__ = ["LANGUAGES", "check_search", "matches_search"]

LANGUAGES = frozenset({"simple", "english", "german", "french", "spanish", "italian", "portuguese", "russian", "dutch"})
_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be but by for from has have if in into is it its no not of on or such that the their then "
        "there these they this to was were will with you your i we he she do does",
    )
)
_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\s*(?:([()&|!])|(<->|<\d+>)|('(?:[^']|'')*'|\w+)(:\*)?)")

Words = tuple[str, ...]


def _stem(word: str) -> str:
    for ending, kept in (("ies", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            return word[: -len(ending)] + kept
    return word


@lru_cache(maxsize=4096)
def _words(text: str) -> Words:
    found = (word.lower() for word in _WORD.findall(text))
    return tuple(_stem(word) for word in found if word not in _STOP_WORDS)


def _has(word: str, words: Words, *, start: bool = False) -> bool:
    return any(own.startswith(word) for own in words) if start else word in words


def _has_phrase(phrase: Words, words: Words) -> bool:
    size = len(phrase)
    return any(words[at : at + size] == phrase for at in range(len(words) - size + 1))


class _Formula:
    """``to_tsquery``'s grammar: ``!``, ``&``, ``|``, ``<->`` and brackets over words."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.tokens: list[tuple[str, str, str, str]] = []
        while self.at < len(text.rstrip()):
            match = _TOKEN.match(text, self.at)
            if match is None:
                self.fail()
            self.tokens.append((match[1] or "", match[2] or "", match[3] or "", match[4] or ""))
            self.at = match.end()
        self.at = 0

    def fail(self) -> NoReturn:
        raise pg_refusal("42601", f'syntax error in tsquery: "{self.text}"')

    def next(self, symbol: str) -> bool:
        found = self.at < len(self.tokens) and symbol in self.tokens[self.at][:2]
        self.at += found
        return found

    def any_of(self, words: Words) -> bool:
        result = self.all_of(words)
        while self.next("|"):
            result = self.all_of(words) or result
        return result

    def all_of(self, words: Words) -> bool:
        result = self.one(words)
        while self.next("&") or self.next("<->"):
            result = self.one(words) and result
        return result

    def one(self, words: Words) -> bool:
        if self.next("!"):
            return not self.one(words)
        if self.next("("):
            result = self.any_of(words)
            if not self.next(")"):
                self.fail()
            return result
        if self.at >= len(self.tokens) or not self.tokens[self.at][2]:
            self.fail()
        token = self.tokens[self.at]
        self.at += 1
        stems = _words(token[2].strip("'"))
        return all(_has(stem, words, start=bool(token[3])) for stem in stems)

    def holds(self, words: Words) -> bool:
        if not self.tokens:
            return False
        self.at = 0
        result = self.any_of(words)
        if self.at < len(self.tokens):
            self.fail()
        return result


def check_search(form: str, language: str | None, text: str) -> None:
    """Raise PostgreSQL's error for an unknown language (42704) or a formula that is none (42601)."""
    if language is not None and language.lower() not in LANGUAGES:
        raise pg_refusal("42704", f'text search configuration "{language}" does not exist')
    if form == "fts":
        _Formula(text).holds(())


def matches_search(value: object, form: str, text: str) -> bool | None:
    """Whether a document fits a search; ``form`` is ``fts``, ``plfts``, ``phfts`` or ``wfts``; None for NULL."""
    if value is None:
        return None
    words = _words(str(value))
    if form == "fts":
        return _Formula(text).holds(words)
    if form == "wfts":
        return _web(text, words)
    wanted = _words(text)
    if not wanted:
        return False
    return _has_phrase(wanted, words) if form == "phfts" else all(word in words for word in wanted)


def _web(text: str, words: Words) -> bool:
    """Search as a web page would have it: quotes for phrases, ``or``, and ``-`` for without."""
    result, wanted = False, False
    for group in re.split(r"\bor\b", text, flags=re.IGNORECASE):
        tests = []
        for minus, phrase, word in re.findall(r'(-?)(?:"([^"]*)"|([^\s"]+))', group):
            stems = _words(phrase or word)
            if stems:
                tests.append(_has_phrase(stems, words) != bool(minus))
        wanted = wanted or bool(tests)
        result = result or (bool(tests) and all(tests))
    return result and wanted
