"""The integrators: one file each, found in `METHODS`."""

from __future__ import annotations

from ionsieve.dynamics.integrators import baoab, crescale, crescale_anisotropic, csvr, nose_hoover, nve
from ionsieve.dynamics.integrators.method import Method as Method
from ionsieve.dynamics.integrators.method import step as step
from ionsieve.errors import InputError, nearest

METHODS: dict[str, Method] = {
    m.METHOD.name: m.METHOD for m in (nve, csvr, nose_hoover, baoab, crescale, crescale_anisotropic)
}


def method(name: str) -> Method:
    """Return the integrator of that name.

    Raises
    ------
    InputError
        When there is none.
    """
    if name not in METHODS:
        close = nearest(name, METHODS)
        raise InputError(
            f"unknown integrator {name!r}",
            expected=", ".join(METHODS),
            remedy=f"did you mean {close!r}?" if close else "",
        )
    return METHODS[name]
