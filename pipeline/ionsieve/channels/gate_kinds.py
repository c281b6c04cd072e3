"""Kinds of gates and of jumps: what they are called, and one row for each.

A jump type is named by the labels of its two sites and, where these are joined by jumps of several lengths, by its
length; a gate besides by its number along the way and, where doping makes them vary, the elements of its anions.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ionsieve.records.channels import Gate, GatelessJump

if TYPE_CHECKING:
    from ionsieve.channels.gates import GateSet

__all__ = ["SAME_RADIUS_A", "clusters", "gateless_jumps", "name_kinds", "static_gates"]

#: free radii nearer than this are one
SAME_RADIUS_A = 0.02
_LENGTH_GAP_A = 0.12
_FRACTION_GAP = 0.04
_TIE_A = 1e-3
_TIE_FRACTION = 1e-3


def clusters(values: NDArray[np.float64], gap: float) -> NDArray[np.int64]:
    """Label values on a line: a new cluster begins where the step to the next exceeds `gap`; numbered from below."""
    order = np.argsort(values, kind="stable")
    label = np.empty(len(values), dtype=np.int64)
    label[order] = np.concatenate([[0], np.cumsum(np.diff(values[order]) > gap)]) if len(values) else []
    return label


def name_kinds(
    labels: Sequence[str],
    pair: NDArray[np.int64],
    sites: NDArray[np.int64],
    length: NDArray[np.float64],
    fraction: NDArray[np.float64],
    free: NDArray[np.float64],
    elements: Sequence[str],
) -> tuple[NDArray[np.int64], tuple[str, ...], NDArray[np.bool_]]:
    """Type of every gate: the two labels, the length class, which gate along the way, and its elements where they vary.

    The gates of one jump are numbered in order, and no two of them have one name. Also whether the gate's fraction is
    counted from its first site: labels run alphabetically, and between equal labels from the narrower gate's side.
    """
    count = len(pair)
    if count == 0:
        return np.empty(0, dtype=np.int64), (), np.empty(0, dtype=bool)
    forward = np.ones(count, dtype=bool)
    ends = []
    for g in range(count):
        a, b = labels[sites[g, 0]], labels[sites[g, 1]]
        forward[g] = a <= b
        ends.append(tuple(sorted((a, b))))
    by_jump = np.argsort(pair, kind="stable")
    for rows in np.split(by_jump, np.flatnonzero(np.diff(pair[by_jump])) + 1):
        if ends[rows[0]][0] == ends[rows[0]][1]:
            forward[rows] = _runs_forward(free[rows], fraction[rows], [elements[g] for g in rows])
    place = np.where(forward, fraction, 1.0 - fraction)
    names = np.empty(count, dtype=object)
    for couple in sorted(set(ends)):
        of_couple = np.array([g for g in range(count) if ends[g] == couple])
        length_class = clusters(length[of_couple], _LENGTH_GAP_A)
        several = length_class.max() > 0
        for c in range(int(length_class.max()) + 1):
            members = of_couple[length_class == c]
            name = "-".join(couple) + (f" {length[members].mean():.1f} Å" if several else "")
            where = _along(pair[members], place[members], free[members])
            for w in range(int(where.max()) + 1):
                here = members[where == w]
                several_kinds = len({elements[g] for g in here}) > 1
                for g in here:
                    names[g] = name + (f" gate {w + 1}" if where.max() > 0 else "")
                    names[g] += f" ({elements[g]})" if several_kinds else ""
    kinds, kind = np.unique(names.astype(str), return_inverse=True)
    return kind.astype(np.int64), tuple(str(k) for k in kinds), forward


def _runs_forward(free: NDArray[np.float64], fraction: NDArray[np.float64], elements: Sequence[str]) -> bool:
    """Whether a jump between equal labels is counted from its first site: from the side of its narrowest gate.

    Where that lies in the middle, or one lies on both sides, the other gates decide: their radii, places and elements.
    """
    narrow = fraction[free <= free.min() + _TIE_A]
    there = np.lexsort((free, fraction))
    back = np.lexsort((free, -fraction))
    compared = [
        (np.array([narrow.min()]), np.array([1.0 - narrow.max()]), _TIE_FRACTION),
        (free[there], free[back], _TIE_A),
        (fraction[there], 1.0 - fraction[back], _TIE_FRACTION),
    ]
    for one, other, tie in compared:
        differ = np.flatnonzero(np.abs(one - other) > tie)
        if len(differ):
            return bool(one[differ[0]] < other[differ[0]])
    return [elements[g] for g in there] <= [elements[g] for g in back]


def _along(pair: NDArray[np.int64], place: NDArray[np.float64], free: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which gate along the way each is, for the gates of jumps of one kind.

    Places near each other are one gate. Where some jump meets several in one such stretch, they are counted along it
    (the narrower first where they lie in one place), and a jump that meets fewer has those nearest to its own.
    """
    stretch = clusters(place, _FRACTION_GAP)
    out = np.empty(len(place), dtype=np.int64)
    offset = 0
    for w in range(int(stretch.max()) + 1):
        here = np.flatnonzero(stretch == w)
        rows = [here[pair[here] == p] for p in np.unique(pair[here])]
        rows = [r[np.lexsort((free[r], clusters(place[r], _TIE_FRACTION)))] for r in rows]
        most = max(len(r) for r in rows)
        full = np.mean([place[r] for r in rows if len(r) == most], axis=0)
        for r in rows:
            choices = itertools.combinations(range(most), len(r))
            out[r] = offset + np.array(min(choices, key=lambda c: np.abs(full[list(c)] - place[r]).sum().round(6)))
        offset += most
    return out


def static_gates(gates: GateSet, percolating: NDArray[np.bool_] | None = None) -> tuple[Gate, ...]:
    """Return one `Gate` record for each distinct gate.

    Same type, same anions, free radius within 0.02 Å; narrowest first.
    """
    on_path = np.zeros(len(gates.jumps.sites), dtype=bool) if percolating is None else percolating
    groups: dict[tuple[bool, int, tuple[str, ...]], list[int]] = {}
    for g in range(len(gates)):
        groups.setdefault((bool(on_path[gates.jump[g]]), int(gates.kind[g]), gates.names[g]), []).append(g)
    out: list[Gate] = []
    for (_, kind, names), members in groups.items():
        rows = np.array(members)
        same = clusters(gates.free_radius[rows], SAME_RADIUS_A)
        for c in range(int(same.max()) + 1):
            group = rows[same == c]
            first = int(group[0])
            out.append(
                Gate(
                    jump=gates.kinds[kind],
                    anions=names,
                    area_A2=float(gates.area[group].mean()),
                    circumradius_A=float(gates.circumradius[group].mean()),
                    free_radius_A=float(gates.free_radius[group].mean()),
                    position_A=(
                        float(gates.centre[first, 0]),
                        float(gates.centre[first, 1]),
                        float(gates.centre[first, 2]),
                    ),
                    path_fraction=float(gates.fraction[group].mean()),
                    jump_length_A=float(gates.length[group].mean()),
                    multiplicity=len(group),
                    percolating=bool(on_path[gates.jump[first]]),
                )
            )
    return tuple(
        sorted(out, key=lambda gate: (not gate.percolating, round(gate.free_radius_A, 4), gate.jump, gate.anions))
    )


def gateless_jumps(gates: GateSet, percolating: NDArray[np.bool_], *, min_length_A: float) -> tuple[GatelessJump, ...]:
    """Return one record for each kind of jump that meets no gate, with the reason; shortest first.

    Parameters
    ----------
    percolating
        (P,) from `percolating_jumps`.
    min_length_A
        The length below which no window is looked for, as in the settings.
    """
    met = np.zeros(len(gates.jumps.sites), dtype=bool)
    met[gates.jump] = True
    groups: dict[tuple[bool, bool, tuple[str, str]], list[int]] = {}
    for p in np.flatnonzero(~met):
        i, j = gates.jumps.sites[p]
        first, second = sorted((gates.site_labels[i], gates.site_labels[j]))
        short = bool(gates.jumps.lengths[p] < min_length_A)
        groups.setdefault((bool(percolating[p]), short, (first, second)), []).append(int(p))
    out = []
    for (on_way, short, ends), members in groups.items():
        lengths = gates.jumps.lengths[np.array(members)]
        same = clusters(lengths, _LENGTH_GAP_A)
        for c in range(int(same.max()) + 1):
            why = (
                f"nearer than {min_length_A:g} Å (min_jump_length_A): positions of one ion, no window was looked for"
                if short
                else "the straight way meets no window of anions: both sites lie in one cavity"
            )
            out.append(
                GatelessJump(
                    jump="-".join(ends),
                    jump_length_A=float(lengths[same == c].mean()),
                    multiplicity=int((same == c).sum()),
                    percolating=on_way,
                    reason=why,
                )
            )
    return tuple(sorted(out, key=lambda jump: (round(jump.jump_length_A, 3), jump.jump)))
