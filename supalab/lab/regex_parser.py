"""The grammar of regular expressions: a pattern flows in, a small machine of linked nodes flows out.

It covers what PostgreSQL's expressions share with everyone's: literals, ``.``, brackets with classes, ``\\d \\w \\s``,
``^ $``, word borders ``\\m \\M \\y``, groups, ``|``, ``* + ? {m,n}`` and their lazy forms. Back references and
look-around are refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from supalab.lab.refusal import pg_refusal
from supalab.lab.regex_sets import CLASSES, CONTROLS, NAMED_CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ACCEPT", "Node", "Program", "parse_regex"]

ACCEPT = -1
_MOST_NODES = 5_000
_MOST_DEPTH = 50
_PLACES = {"m": "m", "M": "M", "y": "y", "Y": "Y", "A": "^", "Z": "$"}


@dataclass(slots=True)
class Node:
    """One state: it reads a character that passes ``test``, or asks for a ``place``, or just forks to two others."""

    after: int
    test: Callable[[str], bool] | None = None
    place: str | None = None
    other: int | None = None


@dataclass(slots=True)
class Program:
    """The whole machine; ``start`` is its first state, ``ACCEPT`` its last."""

    nodes: list[Node] = field(default_factory=list)
    start: int = ACCEPT

    def add(self, node: Node) -> int:
        """Add a node and return its number; raises 2201B when there are too many."""
        if len(self.nodes) >= _MOST_NODES:
            _invalid("regular expression is too complex")
        self.nodes.append(node)
        return len(self.nodes) - 1


def _invalid(why: str) -> NoReturn:
    raise pg_refusal("2201B", f"invalid regular expression: {why}")


def parse_regex(pattern: str, *, fold: bool) -> Program:
    """Return the machine of a pattern; raises ``Refusal`` 2201B with PostgreSQL's words for a broken one."""
    parser = _Parser(pattern, fold=fold)
    part = parser.alternatives(0)
    if parser.at < len(pattern):
        _invalid("parentheses () not balanced")
    parser.program.start = part(ACCEPT)
    return parser.program


class _Parser:
    """Recursive descent; each rule returns a function that, given the state to go on with, adds the rule's nodes."""

    def __init__(self, pattern: str, *, fold: bool) -> None:
        self.pattern, self.fold, self.at = pattern, fold, 0
        self.program = Program()

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def take(self, text: str) -> bool:
        found = self.pattern.startswith(text, self.at)
        self.at += found * len(text)
        return found

    def alternatives(self, depth: int) -> Callable[[int], int]:
        if depth > _MOST_DEPTH:
            _invalid("regular expression is too complex")
        parts = [self.sequence(depth)]
        while self.take("|"):
            parts.append(self.sequence(depth))

        def build(after: int) -> int:
            first = parts[-1](after)
            for part in reversed(parts[:-1]):
                first = self.program.add(Node(part(after), other=first))
            return first

        return build

    def sequence(self, depth: int) -> Callable[[int], int]:
        parts: list[Callable[[int], int]] = []
        while self.peek() not in ("", "|", ")"):
            parts.append(self.repeated(self.atom(depth)))

        def build(after: int) -> int:
            for part in reversed(parts):
                after = part(after)
            return after

        return build

    def repeated(self, part: Callable[[int], int]) -> Callable[[int], int]:
        bounds = self.bounds()
        if bounds is None:
            return part
        self.take("?")  # lazy: which match is found makes no difference to whether there is one
        self.refuse_quantifier()
        least, most = bounds

        def build(after: int) -> int:
            first = after
            if most is None:
                loop = self.program.add(Node(after))
                self.program.nodes[loop].other = part(loop)
                first = loop
            for _ in range((most or least) - least):
                first = self.program.add(Node(part(first), other=after))
            for _ in range(least):
                first = part(first)
            return first

        return build

    def refuse_quantifier(self) -> None:
        """There is nothing here that could be repeated: raise 2201B if a quantifier comes next."""
        if self.peek() in ("*", "+", "?") or self.at_bound():
            _invalid("quantifier operand invalid")

    def at_bound(self) -> bool:
        return self.peek() == "{" and self.pattern[self.at + 1 : self.at + 2].isdigit()

    def place(self, place: str) -> Callable[[int], int]:
        self.refuse_quantifier()
        return lambda after: self.program.add(Node(after, place=place))

    def bounds(self) -> tuple[int, int | None] | None:
        for sign, found in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self.take(sign):
                return found
        if not self.at_bound():
            return None
        end = self.pattern.find("}", self.at)
        if end < 0:
            _invalid("braces {} not balanced")
        low, comma, high = self.pattern[self.at + 1 : end].partition(",")
        self.at = end + 1
        if not (low.isdecimal() and (high.isdecimal() or not high)):
            _invalid("invalid repetition count(s)")
        least, most = int(low[:4]), int(high[:4]) if high else None if comma else int(low[:4])
        if least > 255 or (most is not None and (most > 255 or most < least)):
            _invalid("invalid repetition count(s)")
        return least, most

    def atom(self, depth: int) -> Callable[[int], int]:
        self.refuse_quantifier()
        char = self.peek()
        self.at += 1
        if char == "(":
            return self.group(depth)
        if char in ("^", "$"):
            return self.place(char)
        if char == ".":
            return self.one(lambda _: True)
        if char == "[":
            return self.one(self.bracket())
        if char == "\\":
            return self.escape()
        return self.one(self.literal(char))

    def one(self, test: Callable[[str], bool]) -> Callable[[int], int]:
        return lambda after: self.program.add(Node(after, test))

    def literal(self, char: str) -> Callable[[str], bool]:
        if self.fold:
            folded = char.lower()
            return lambda other: other.lower() == folded
        return lambda other: other == char

    def group(self, depth: int) -> Callable[[int], int]:
        if self.peek() == "?" and not self.take("?:"):
            raise pg_refusal("0A000", "look-around in regular expressions is not supported by the lab")
        part = self.alternatives(depth + 1)
        return part if self.take(")") else _invalid("parentheses () not balanced")

    def escape(self) -> Callable[[int], int]:
        char = self.peek()
        self.at += 1
        if not char:
            _invalid("invalid escape \\ sequence")
        if char in _PLACES:
            return self.place(_PLACES[char])
        if char.lower() in CLASSES:
            return self.one(_class(char))
        if char.isdigit() and char != "0":
            raise pg_refusal("0A000", "back references in regular expressions are not supported by the lab")
        if char.isalnum() and char not in CONTROLS:
            _invalid("invalid escape \\ sequence")
        return self.one(self.literal(CONTROLS.get(char, char)))

    def bracket(self) -> Callable[[str], bool]:
        negated = self.take("^")
        tests: list[Callable[[str], bool]] = []
        first = True
        while first or not self.take("]"):
            first = False
            if not self.peek():
                _invalid("brackets [] not balanced")
            tests.append(self.bracket_item())
        return lambda char: any(test(char) for test in tests) != negated

    def bracket_item(self) -> Callable[[str], bool]:
        if self.take("[:"):
            name, colon, _ = self.pattern[self.at :].partition(":]")
            if not colon or name not in NAMED_CLASSES:
                _invalid("invalid character class")
            self.at += len(name) + 2
            return NAMED_CLASSES[name]
        char = self.peek()
        self.at += 1
        if char == "\\":
            char = self.peek()
            self.at += 1
            if char.lower() in CLASSES and char:
                return _class(char)
            char = CONTROLS.get(char, char)
        if self.peek() == "-" and self.pattern[self.at + 1 : self.at + 2] not in ("", "]"):
            last = self.pattern[self.at + 1]
            self.at += 2
            if last < char:
                _invalid("invalid character range")
            return self.range(char, last)
        return self.literal(char)

    def range(self, low: str, high: str) -> Callable[[str], bool]:
        fold = self.fold
        return lambda char: (
            low <= char <= high or (fold and any(low <= c <= high for c in (char.lower(), char.upper())))
        )


def _class(char: str) -> Callable[[str], bool]:
    test = CLASSES[char.lower()]
    return (lambda other: not test(other)) if char.isupper() else test
