"""How many mobile ions the sites of a prototype hold when no two stand closer than the exclusion distance.

Refined sites of a mobile ion are often split, and interstitial sites lie between regular ones: the number of sites is
not the number of ions. What counts is the largest set of sites without an excluded pair (a maximum independent set),
found exactly by integer programming on the conventional cell. It gives 4 Na for Na3Zr2Si2PO12, 7.5 Li for the garnet
and 6 Li for the argyrodite, from 10, 15 and 18 sites a formula unit.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from ionsieve.errors import BugError
from ionsieve.generate.prototypes import Prototype
from ionsieve.generate.sites import minimum_distances

__all__ = ["capacity", "exclusion_A"]


@lru_cache(maxsize=512)
def capacity(prototype: Prototype, labels: tuple[str, ...]) -> float:
    """Return the largest number of ions a formula unit on these sites, exclusion distances kept."""
    sites = [prototype.site(label) for label in labels]
    if not sites:
        return 0.0
    points = np.vstack([s.positions for s in sites])
    owner = np.array([k for k, s in enumerate(sites) for _ in range(s.multiplicity)])
    limit = np.array([[exclusion_A(prototype, a, b) for b in labels] for a in labels])
    distance = minimum_distances(points, points, prototype.cell)
    first, second = np.nonzero(np.triu(distance < limit[np.ix_(owner, owner)] - 1e-6, 1))
    if len(first) == 0:
        return len(points) / prototype.z
    rows = np.repeat(np.arange(len(first)), 2)
    pairs = csr_array((np.ones(len(rows)), (rows, np.stack([first, second], 1).ravel())), (len(first), len(points)))
    found = milp(
        -np.ones(len(points)), constraints=LinearConstraint(pairs, -np.inf, 1), integrality=1, bounds=Bounds(0, 1)
    )
    if found.x is None:
        raise BugError("no packing of the mobile sites was found", found=prototype.name)
    return round(-float(found.fun)) / prototype.z


def exclusion_A(prototype: Prototype, a: str, b: str) -> float:
    """Distance below which ions on the sites `a` and `b` exclude each other, Å; zero when they do not."""
    return prototype.exclusions_A.get((min(a, b), max(a, b)), 0.0)
