"""Regular expressions of requests: a pattern flows in, a test of texts flows out that cannot hold up the lab.

``match`` and ``imatch`` let a request bring its own expression, and a backtracking engine may take for ever over one:
the ``regex`` library stops at a time limit. Its grammar is PostgreSQL's but for a few signs, which are rewritten.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import regex

from supalab.lab.dialect.refusal import pg_refusal

__all__ = ["compile_pattern"]

TIME_LIMIT_S = 0.5
#: PostgreSQL's "$" is the end alone, not also a place before a last line break; its word borders are \y and \Y.
REWRITTEN = {"$": r"\Z", r"\y": r"\b", r"\Y": r"\B"}
#: What the library says (the beginning of it), and PostgreSQL's word for the same.
WORDS = {
    "missing )": "parentheses () not balanced",
    "unbalanced parenthesis": "parentheses () not balanced",
    "unterminated character set": "brackets [] not balanced",
    "bad character range": "invalid character range",
    "bad set": "brackets [] not balanced",
    "nothing to repeat": "quantifier operand invalid",
    "multiple repeat": "quantifier operand invalid",
    "min repeat greater": "invalid repetition count(s)",
    "bad escape": "invalid escape \\ sequence",
    "incomplete escape": "invalid escape \\ sequence",
    "unknown property": "invalid character class",
}
#: A class in brackets, an escaped character, or any one character: so that only a real "$" is rewritten.
SIGN = regex.compile(r"\[\^?\]?(?:\[:\w+:\]|\\.|[^\]])*\]|\\.|.", regex.DOTALL)


@lru_cache(maxsize=256)
def compile_pattern(pattern: str, *, fold: bool) -> Callable[[str], bool]:
    """Return a test whether the expression matches anywhere in a text; ``fold``: capital letters are small ones.

    Raises Refusal: 2201B for a broken expression, and the test raises 57014 when the time limit is over.
    """
    flags = regex.DOTALL | regex.VERSION0 | (regex.IGNORECASE if fold else 0)
    try:
        compiled = regex.compile(SIGN.sub(lambda sign: REWRITTEN.get(sign[0], sign[0]), pattern), flags)
    except (regex.error, OverflowError, RecursionError) as error:
        said = str(getattr(error, "msg", error))
        words = next((words for start, words in WORDS.items() if said.startswith(start)), said)
        raise pg_refusal("2201B", f"invalid regular expression: {words}") from None

    def found_in(text: str) -> bool:
        try:
            return compiled.search(text, timeout=TIME_LIMIT_S) is not None
        except TimeoutError:
            raise pg_refusal("57014", "canceling statement due to statement timeout") from None

    return found_in
