"""Tensors looked at once: the same unchanged object costs no look, any change is noticed."""

from collections import Counter

import pytest
import torch
from ase.build import bulk
from torch.utils._python_dispatch import TorchDispatchMode

from ionsieve.errors import InputError
from ionsieve.geometry.seen import Seen
from ionsieve.potentials.pair import PairPotential
from ionsieve.systems import Batch


class Looks(TorchDispatchMode):
    """Counts what waits for a CUDA device."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name
        if name in {"aten::equal", "aten::_local_scalar_dense", "aten::nonzero", "aten::bincount"}:
            self.found[name.removeprefix("aten::")] += 1
        return function(*args, **(kwargs or {}))


def test_only_the_same_unchanged_objects_are_seen():
    seen, a, b = Seen(), torch.zeros(3), torch.zeros(3)
    assert not seen(a, b)
    seen.note(a, b)
    assert seen(a, b)
    assert not seen(b, a)
    assert not seen(a)
    assert not seen(a.clone(), b)
    b.detach()[0] = 1.0
    assert not seen(a, b)
    seen.note(a)
    del a
    assert not seen(torch.zeros(3))
    with torch.inference_mode():
        uncounted = torch.zeros(3)
    seen.note(uncounted)
    assert not seen(uncounted)


def test_a_step_at_a_fixed_cell_looks_at_the_device_twice():
    """For the lists that are stale and for the pairs that are near; the atoms and cells of the last step are known."""
    potential = PairPotential("pair-lj")
    start = Batch.from_atoms([bulk("Ar", "fcc", a=5.4, cubic=True)] * 3)
    for _ in range(2):
        potential.evaluate(start)
    with Looks() as looks:
        potential.evaluate(Batch(start.positions + 0.001, start.cells, start.numbers, start.system_index))
    assert looks.found == {"_local_scalar_dense": 1, "nonzero": 1}


def test_a_cell_and_an_element_changed_in_place_are_noticed():
    potential = PairPotential("pair-lj")
    batch = Batch.from_atoms([bulk("Ar", "fcc", a=5.4, cubic=True)] * 2)
    batch.positions[0] += 0.1
    for _ in range(2):
        potential.evaluate(batch)
    batch.cells[1] *= 1.01
    fresh = Batch(*(x.clone() for x in (batch.positions, batch.cells, batch.numbers, batch.system_index)))
    assert torch.equal(potential.evaluate(batch).forces, PairPotential("pair-lj").evaluate(fresh).forces)
    batch.numbers[0] = 118
    with pytest.raises(InputError, match="not trained for Og"):
        potential.evaluate(batch)
