"""Random numbers by counter: the same draw for the same name, whoever asks, whenever, on whichever machine.

A stream is keyed by (campaign seed, names...) through SHA-256 to a 128-bit Philox key; the step is the counter.
Nothing is consumed: a draw can be asked for again after a restart and in any batch, and gives the same numbers.

References
----------
J. K. Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC'11, 10.1145/2063384.2063405.
"""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["generator", "key128", "stream_seed"]


def key128(*names: str | int) -> int:
    """Return a 128-bit key for a stream; names are separated so that ("a", "bc") differs from ("ab", "c")."""
    text = "\x1f".join(f"{type(n).__name__}:{n}" for n in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def stream_seed(*names: str | int) -> int:
    """Return a 32-bit seed for libraries that want one integer."""
    return key128(*names) & 0xFFFFFFFF


def generator(*names: str | int, step: int = 0) -> np.random.Generator:
    """Return a fresh generator for the stream `names` at counter `step` (0 <= step < 2**64).

    Steps do not overlap: each owns 2**128 blocks of the Philox counter.
    """
    return np.random.Generator(np.random.Philox(key=key128(*names), counter=[0, 0, step, 0]))
