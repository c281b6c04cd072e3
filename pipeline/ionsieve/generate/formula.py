"""Formulas: from text to amounts and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ionsieve.errors import InputError
from ionsieve.generate.groups import GROUPS
from ionsieve.generate.ions import is_element

__all__ = ["flatten", "format_formula", "group_hint", "parse_formula"]

_TOKEN = re.compile(r"([A-Z][a-z]?)|([(\[])|([)\]])|(\d+\.?\d*|\.\d+)|(\s+)")


def parse_formula(text: str, *, groups: Iterable[str] = ()) -> dict[str, float]:
    """Return amounts by element, cluster anions kept whole.

    Parameters
    ----------
    groups
        Names of cluster anions that count as one species even when written without brackets (``Na3OBH4``). In brackets,
        ``(BH4)0.5``, every known group does.

    Raises
    ------
    InputError
        For text that is no formula or an unknown element.
    """
    for name in sorted(groups, key=len, reverse=True):
        text = re.sub(_bare(name), f"({name})", text)
    amounts: dict[str, float] = {}
    for species, amount in _parse(text):
        amounts[species] = amounts.get(species, 0.0) + amount
    if not amounts:
        raise InputError("an empty formula", found=repr(text))
    return amounts


def group_hint(text: str) -> str:
    """A sentence for a formula that spells a cluster anion without brackets; empty when it does not."""
    found = [name for name in GROUPS if re.search(_bare(name), text)]
    if not found:
        return ""
    written = text
    for name in sorted(found, key=len, reverse=True):
        written = re.sub(_bare(name), f"({name})", written)
    return f". If {' and '.join(found)} is meant as one anion, write {written}"


def _bare(name: str) -> str:
    return rf"(?<![(\[]){re.escape(name)}(?![a-z0-9.])"


def _parse(text: str) -> list[tuple[str, float]]:
    stack: list[list[tuple[str, float]]] = [[]]
    opened: list[int] = []
    position, last = 0, 0  # `last`: how many entries the next number multiplies
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise InputError(f"{text!r} is no formula: unexpected {text[position]!r}", found=repr(text))
        element, left, right, number, _ = match.groups()
        if element:
            if not is_element(element):
                raise InputError(
                    f"unknown element {element!r}", found=repr(text), remedy="check capital and small letters"
                )
            stack[-1].append((element, 1.0))
            last = 1
        elif left:
            stack.append([])
            opened.append(match.end())
            last = 0
        elif right:
            if len(stack) == 1:
                raise InputError(f"{text!r} closes a bracket that was never opened", found=repr(text))
            inside = stack.pop()
            name = text[opened.pop() : match.start()]
            inside = [(name, 1.0)] if name in GROUPS else inside
            stack[-1].extend(inside)
            last = len(inside)
        elif number:
            if last == 0:
                raise InputError(f"{text!r}: the number {number} has nothing before it", found=repr(text))
            factor = float(number)
            stack[-1][-last:] = [(s, a * factor) for s, a in stack[-1][-last:]]
            last = 0
        position = match.end()
    if len(stack) > 1:
        raise InputError(f"{text!r} opens a bracket and never closes it", found=repr(text))
    return [(s, a) for s, a in stack[0] if a > 0]


def flatten(amounts: Mapping[str, float]) -> dict[str, float]:
    """Resolve cluster anions into their elements."""
    out: dict[str, float] = {}
    for species, amount in amounts.items():
        parts = GROUPS[species].composition if species in GROUPS else {species: 1}
        for element, count in parts.items():
            out[element] = out.get(element, 0.0) + amount * count
    return out


def format_formula(amounts: Mapping[str, float], *, digits: int = 5) -> str:
    """Write amounts in the given order, ones left out, cluster anions in brackets."""
    text = ""
    for species, amount in amounts.items():
        rounded = round(amount, digits)
        if rounded <= 0:
            continue
        number = "" if rounded == 1 else f"{rounded:.{digits}f}".rstrip("0").rstrip(".")
        text += (f"({species})" if species in GROUPS and number else species) + number
    return text
