"""Numbers and formulas as people read them."""

from __future__ import annotations

import math
import re

from markupsafe import Markup, escape

from ionsieve.quantities import quantity
from ionsieve.records import Estimate
from ionsieve.verdicts import Verdict

__all__ = [
    "estimate_text",
    "formula_html",
    "formula_text",
    "interval_text",
    "number",
    "power_of_ten",
    "probability",
    "short_float",
    "signed",
    "target_text",
    "words",
]

_SUPER = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PLAIN = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_SUB = str.maketrans("0123456789.", "₀₁₂₃₄₅₆₇₈₉.")


def power_of_ten(exponent: int) -> str:
    """Return 10 to a power with superscript digits."""
    return "10" + str(exponent).translate(_SUPER)


def number(value: float | None, digits: int = 3, *, smallest: int = -3) -> str:
    """Return a number with that many significant digits, as ``3.1 × 10⁻⁴`` when below 10**`smallest` or large."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if smallest <= exponent <= 4:
        return f"{value:.{max(0, digits - 1 - exponent)}f}".replace("-", "−")
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa} × {power_of_ten(int(power))}".replace("-", "−", 1)


def signed(value: float, decimals: int = 1) -> str:
    """Return a number with its sign, as ``+0.4`` or ``−2.0``."""
    rounded = round(value, decimals) or 0.0  # no minus before a zero
    return f"{rounded:+.{decimals}f}".replace("-", "−")


def words(key: str) -> str:
    """Return the name of a flag or outcome as words: ``assumed_ea`` as ``assumed Ea``."""
    return " ".join("Ea" if part == "ea" else part for part in key.split("_"))


def target_text(value: float) -> str:
    """Return a target: a bare power of ten where it is one."""
    mantissa, exponent = f"{value:e}".split("e")
    return power_of_ten(int(exponent)) if float(mantissa) == 1 else number(value, 2)


def short_float(value: float) -> str:
    """Return at most six significant digits, for tables of data."""
    return f"{value:.6g}"


def probability(value: float | None) -> str:
    """Return a probability in per cent; never 0 or 100, since it is counted in a finite number of samples."""
    if value is None:
        return "–"
    if value < 0.01:
        return "< 1 %"
    if value > 0.99:
        return "> 99 %"
    return f"{100 * value:.0f} %"


def _smallest(estimate: Estimate) -> int:
    return -1 if quantity(estimate.quantity).scale == "log" else -3


def _decimals(estimate: Estimate) -> int | None:
    """Return how many decimals the interval of a linear quantity warrants, or None where its digits decide."""
    low, high = estimate.low68, estimate.high68
    if quantity(estimate.quantity).scale == "log" or low is None or high is None or high <= low:
        return None
    return min(quantity(estimate.quantity).digits, max(0, 1 - math.floor(math.log10((high - low) / 2))))


def interval_text(estimate: Estimate, level: int = 68) -> str:
    """Return the interval of a value as ``low – high``, or nothing.

    The value's power of ten stands outside of the brackets, unless the interval spans more than two decades.
    """
    low, high = (estimate.low68, estimate.high68) if level == 68 else (estimate.low95, estimate.high95)
    if low is None or high is None or estimate.value is None:
        return ""
    decimals = _decimals(estimate)
    if decimals is not None:
        return f"{low:.{decimals}f} – {high:.{decimals}f}".replace("-", "−")
    digits, smallest = quantity(estimate.quantity).digits, _smallest(estimate)
    central = number(estimate.value, digits, smallest=smallest)
    if " × " in central and low > 0 and high <= 100 * low:
        power = central.split(" × ")[1]
        unit = 10.0 ** int(power[2:].translate(_PLAIN))
        return f"({number(low / unit, digits, smallest=-1)} – {number(high / unit, digits, smallest=-1)}) × {power}"
    return f"{number(low, digits, smallest=smallest)} – {number(high, digits, smallest=smallest)}"


def estimate_text(estimate: Estimate | None) -> str:
    """Return the central number of an estimate, ``< limit``, or a dash."""
    if estimate is None or estimate.value is None:
        return "–"
    decimals = _decimals(estimate)
    if decimals is not None:
        return f"{estimate.value:.{decimals}f}".replace("-", "−")
    text = number(estimate.value, quantity(estimate.quantity).digits, smallest=_smallest(estimate))
    return f"< {text}" if estimate.kind is Verdict.UPPER_LIMIT else text


def formula_html(formula: str) -> Markup:
    """Return a formula with its amounts as subscripts."""
    parts = re.split(r"((?<=[A-Za-z)\]])\d+(?:\.\d+)?)", formula)
    return Markup("").join(Markup("<sub>{}</sub><wbr>").format(p) if i % 2 else escape(p) for i, p in enumerate(parts))


def formula_text(formula: str) -> str:
    """Return a formula with subscript digits, for SVG and plain text."""
    return re.sub(r"(?<=[A-Za-z)\]])\d+(?:\.\d+)?", lambda m: m.group().translate(_SUB), formula)
