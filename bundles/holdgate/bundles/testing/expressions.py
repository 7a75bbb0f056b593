"""An expression changed one thing at a time, by its tokens. Pure.

Each number one step up, one step down and a large step up; `<` and `<=`, `>` and `>=`, `==` and `!=` exchanged, and so
`&&` and `||`; each part of an `&&` or `||` left out, in brackets and macros too.

What always holds: nothing inside a string or a comment is changed, and no two changes give the same text, which is
never that of the expression. Whether a text is an expression, its reader finds out: `-1u` is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

_TOKEN = re.compile(
    r"""
    (?P<gap>\s+|//[^\n]*)
    |(?P<text>
        [bB]?[rR](?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\r\n]*"|'[^'\r\n]*')
        |[bB]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\r\n])*"|'(?:\\.|[^'\\\r\n])*')
        |`[^`]*`)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>0[xX][0-9a-fA-F]+[uU]?|[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|[0-9]+[uU]?)
    |(?P<sign>&&|\|\||[<>=!]=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_SWAPPED = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&"}
_JOINTS = ("&&", "||")
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_ENDS = {*_JOINTS, *_MIRRORED, *"()[]{},?:", "in"}
"""What a side of a comparison ends at, in the same brackets."""
_DIGITS_MAX = 25
_EXPONENT_MAX = 20
"""Numbers beyond either are left as they are: no bound of a policy, and steps of them would be lost in rounding."""
_EXCERPT_CHARS_MAX = 60


@dataclass(frozen=True, slots=True)
class Edit:
    """`source` after `change`; `told_by`: how a job for which it matters differs, to be said after the job."""

    change: str
    told_by: str
    source: str


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass(slots=True)
class _Span:
    """Tokens between brackets, commas and the signs of `?:`; `joints`: where `&&` and `||` stand among them."""

    first: int
    end: int = 0
    joints: list[int] = field(default_factory=list)


def edits(source: str) -> Iterator[Edit]:
    """Every change, each of another text."""
    seen = {source}
    expression = _Expression(source)
    for edit in (*expression.numbers(), *expression.signs(), *expression.parts()):
        if edit.source not in seen:
            seen.add(edit.source)
            yield edit


class _Expression:
    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = _tokens(source)

    def numbers(self) -> Iterator[Edit]:
        """One step up, one step down, a large step up."""
        for position, token in enumerate(self._tokens):
            for step, changed in _steps(token.text) if token.kind == "number" else ():
                what = f"`{token.text}` turned into `{changed}`"
                yield self._replaced(token, changed, what, self._boundary(position, step, changed))

    def signs(self) -> Iterator[Edit]:
        """A comparison or a joint exchanged."""
        for position, token in enumerate(self._tokens):
            changed = _SWAPPED.get(token.text) if token.kind == "sign" else None
            if changed is None:
                continue
            left, right = self._sides(position)
            told = (
                "for which only one side of it holds" if token.text in _JOINTS else f"with `{left}` equal to `{right}`"
            )
            what = f"`{token.text}` turned into `{changed}`, after `{left}`"
            yield self._replaced(token, changed, what, told)

    def parts(self) -> Iterator[Edit]:
        """Each part of an `||`, and then of an `&&`, left out."""
        for span in _spans(self._tokens):
            wholes = self._split(span, "||")
            yield from self._without_each(wholes, "true")
            for whole in wholes:
                yield from self._without_each(self._split(whole, "&&"), "false")

    def _split(self, span: _Span, joint: str) -> list[_Span]:
        found = [_Span(span.first, span.end)]
        for position in span.joints:
            if self._tokens[position].text == joint:
                found[-1].end = position
                found.append(_Span(position + 1, span.end))
            else:
                found[-1].joints.append(position)
        return found

    def _without_each(self, parts: list[_Span], answer: str) -> Iterator[Edit]:
        for number, part in enumerate(parts if len(parts) > 1 else ()):
            if part.first >= part.end:
                continue
            text = self._excerpt(part.first, part.end)
            first, end = (part.first - 1, part.end) if number else (part.first, part.end + 1)
            start, stop = self._tokens[first].start, self._tokens[end - 1].end
            left = f"{self._source[:start].rstrip()} {self._source[stop:].lstrip()}".strip()
            at = self._tokens[part.first].start
            yield Edit(f"`{text}` dropped (character {at + 1})", f"for which only `{text}` is {answer}", left)

    def _boundary(self, position: int, step: Decimal, changed: str) -> str:
        """The value at which the comparison answers otherwise, for a number that is a whole side of one."""
        tokens = self._tokens
        number = tokens[position]
        for beside, far in ((position - 1, position + 1), (position + 1, position - 1)):
            inside = 0 <= beside < len(tokens) and tokens[beside].text in _MIRRORED
            if not inside or (0 <= far < len(tokens) and tokens[far].text not in _ENDS):
                continue
            left, right = self._sides(beside)
            sign, side = (tokens[beside].text, left) if beside < position else (_MIRRORED[tokens[beside].text], right)
            value = _value(number.text)
            if sign in ("<=", ">") and step > 0:
                value += min(step, _unit(number.text))
            elif sign in ("<", ">=") and step < 0:
                value += step
            return f"with `{side}` at {_written(value, number.text)}"
        return f"for which it matters that `{number.text}` is not `{changed}`"

    def _sides(self, position: int) -> tuple[str, str]:
        first, end = position, position + 1
        depth = 0
        while first > 0 and (depth or self._tokens[first - 1].text not in _ENDS - set(")]}")):
            first -= 1
            depth += (self._tokens[first].text in ")]}") - (self._tokens[first].text in "([{")
        depth = 0
        while end < len(self._tokens) and (depth or self._tokens[end].text not in _ENDS - set("([{")):
            depth += (self._tokens[end].text in "([{") - (self._tokens[end].text in ")]}")
            end += 1
        return self._excerpt(first, position), self._excerpt(position + 1, end)

    def _excerpt(self, first: int, end: int) -> str:
        if first >= end:
            return ""
        text = " ".join(self._source[self._tokens[first].start : self._tokens[end - 1].end].split())
        return text if len(text) <= _EXCERPT_CHARS_MAX else text[: _EXCERPT_CHARS_MAX - 1] + "…"

    def _replaced(self, token: _Token, changed: str, what: str, told_by: str) -> Edit:
        source = f"{self._source[: token.start]}{changed}{self._source[token.end :]}"
        return Edit(f"{what} (character {token.start + 1})", told_by, source)


def _tokens(source: str) -> list[_Token]:
    """Without gaps; a minus that no operand stands before belongs to the number after it."""
    found: list[_Token] = []
    for match in _TOKEN.finditer(source):
        token = _Token(match.lastgroup or "sign", match[0], match.start())
        if token.kind == "number" and found and _is_unary(found) and found[-1].end == token.start:
            minus = found.pop()
            token = _Token("number", f"-{token.text}", minus.start)
        if token.kind != "gap":
            found.append(token)
    return found


def _is_unary(before: list[_Token]) -> bool:
    if before[-1].text != "-":
        return False
    operand = before[-2] if len(before) > 1 else None
    return operand is None or (operand.kind == "sign" and operand.text not in ")]}") or operand.text == "in"


def _spans(tokens: list[_Token]) -> list[_Span]:
    """Innermost first."""
    done: list[_Span] = []
    pending = [_Span(0)]
    for position, token in enumerate(tokens):
        if token.kind != "sign":
            continue
        if token.text in "([{":
            pending.append(_Span(position + 1))
        elif token.text in ")]},?:":
            pending[-1].end = position
            done.append(pending.pop())
            if token.text in ",?:" or not pending:
                pending.append(_Span(position + 1))
        elif token.text in _JOINTS:
            pending[-1].joints.append(position)
    pending[-1].end = len(tokens)
    return [*done, pending[-1]]


def _steps(text: str) -> Iterator[tuple[Decimal, str]]:
    exponent = re.search(r"[eE][+-]?([0-9]+)", text) if _is_fraction(text) else None
    if len(text) > _DIGITS_MAX or (exponent is not None and int(exponent[1]) > _EXPONENT_MAX):
        return
    value, unit = _value(text), _unit(text)
    for step in (unit, -unit, max(9 * value, 10 * unit)):
        yield step, _written(value + step, text)


def _value(text: str) -> Decimal:
    bare = text.rstrip("uU") if not _is_fraction(text) else text
    return Decimal(int(bare, 0) if "x" in bare.lower() else bare)


def _unit(text: str) -> Decimal:
    """One in the last place that is written, at most one."""
    exponent = _value(text).as_tuple().exponent
    return Decimal(1).scaleb(min(int(exponent), 0))


def _written(value: Decimal, like: str) -> str:
    if not _is_fraction(like):
        return f"{int(value)}{'u' if like[-1] in 'uU' else ''}"
    text = f"{value:f}"
    return text if "." in text else f"{text}.0"


def _is_fraction(text: str) -> bool:
    return "x" not in text.lower() and any(sign in text for sign in ".eE")
