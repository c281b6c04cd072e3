"""Kernels against ten-line twins that do the sums as they stand in the equations, on three array libraries."""

import numpy as np
import pytest

from ionsieve.errors import DataError
from ionsieve.transport.kernels import (
    collective_msd,
    dipole,
    msd,
    msd_per_particle_at,
    msd_tensor,
    remove_breathing,
    remove_drift,
    unwrap,
    windowed_moments,
)
from ionsieve.transport.kernels.msd import fast_length
from ionsieve.transport.kernels.streaming import MSDStream

BACKENDS = ["numpy", "torch", "array_api_strict"]


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Give a function into the library and one back to NumPy."""
    if request.param == "numpy":
        return np.asarray, np.asarray
    if request.param == "torch":
        import torch

        return (lambda x: torch.as_tensor(np.asarray(x))), (lambda x: x.numpy())
    strict = pytest.importorskip("array_api_strict")
    return strict.asarray, np.asarray


@pytest.fixture(scope="module")
def walk():
    return np.cumsum(np.random.default_rng(3).normal(size=(61, 5, 3)), axis=0)


def naive_msd(x):
    return np.array([((x[m:] - x[: len(x) - m]) ** 2).sum(-1).mean() for m in range(len(x))])


def test_msd_equals_the_double_sum(walk, backend):
    to, back = backend
    np.testing.assert_allclose(back(msd(to(walk))), naive_msd(walk), rtol=1e-10, atol=1e-10)


def test_msd_parts_add_up(walk, backend):
    to, back = backend
    parts = back(msd(to(walk), per_axis=True))
    naive = np.array([((walk[m:] - walk[: len(walk) - m]) ** 2).mean((0, 1)) for m in range(len(walk))])
    np.testing.assert_allclose(parts, naive, rtol=1e-10, atol=1e-10)


def test_tensor_equals_the_outer_products(walk, backend):
    to, back = backend
    tensor = back(msd_tensor(to(walk)))
    for m in (1, 7, 40):
        d = (walk[m:] - walk[:-m]).reshape(-1, 3)
        np.testing.assert_allclose(tensor[m], d.T @ d / len(d), rtol=1e-9, atol=1e-9)


def test_far_from_the_origin_nothing_is_lost(backend):
    to, back = backend
    x = np.cumsum(np.random.default_rng(0).normal(size=(50, 3, 3)), axis=0)
    np.testing.assert_allclose(back(msd(to(x + 1e6))), naive_msd(x), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("stride", [0, 4])
def test_windowed_moments(walk, backend, stride):
    to, back = backend
    lags = [1, 3, 20]
    mean, variance = windowed_moments(to(walk), lags, stride_per_lag=stride)
    for k, m in enumerate(lags):
        step = max(1, m // stride) if stride else 1
        sq = ((walk[m:] - walk[:-m])[::step] ** 2).sum(-1)
        assert back(mean)[k] == pytest.approx(sq.mean(), rel=1e-12)
        assert back(variance)[k] == pytest.approx(sq.var(), rel=1e-10)


def test_windowed_moments_do_not_depend_on_blocks(walk, monkeypatch):
    import importlib

    module = importlib.import_module("ionsieve.transport.kernels.msd")
    whole = windowed_moments(walk, [2, 9])
    monkeypatch.setattr(module, "cache_bytes", lambda x: 1)
    blocked = windowed_moments(walk, [2, 9])
    np.testing.assert_allclose(np.asarray(blocked), np.asarray(whole), rtol=1e-12)


def test_squared_displacements_of_every_origin(walk, backend):
    to, back = backend
    np.testing.assert_allclose(back(msd_per_particle_at(to(walk), 4)), ((walk[4:] - walk[:-4]) ** 2).sum(-1))


def test_locked_pair_carries_no_charge(walk, backend):
    to, back = backend
    pair = np.concatenate([walk, walk + 2.0], axis=1)
    charges = np.repeat([1.0, -1.0], walk.shape[1])
    np.testing.assert_allclose(back(collective_msd(to(pair), to(charges), normalisation=5.0)), 0.0, atol=1e-9)


def test_collective_is_the_msd_of_the_dipole(walk, backend):
    to, back = backend
    z = np.array([1.0, 1.0, 2.0, -1.0, 0.0])
    dip = np.einsum("fnk,n->fk", walk, z)[:, None]
    np.testing.assert_allclose(back(dipole(to(walk), to(z))), dip, rtol=1e-12)
    np.testing.assert_allclose(
        back(collective_msd(to(walk), to(z), normalisation=7.0)), naive_msd(dip) / 7.0, rtol=1e-9, atol=1e-9
    )


def skewed_cell():
    """Rhombohedral cell with angles of 60 degrees: the worst case for a naive minimum image."""
    return 10.0 * np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]) * np.sqrt(2.0)


def test_unwrap_gives_back_a_wrapped_walk_in_a_skewed_cell(backend):
    to, back = backend
    rng = np.random.default_rng(1)
    cell = skewed_cell()
    walk = np.cumsum(rng.normal(scale=0.4, size=(400, 6, 3)), axis=0)
    s = walk @ np.linalg.inv(cell)
    wrapped = (s - np.floor(s)) @ cell
    path = back(unwrap(to(wrapped), to(cell)))
    np.testing.assert_allclose(path - path[:1], walk - walk[:1], atol=1e-8)


def test_unwrap_with_a_breathing_cell_adds_nothing(backend):
    to, back = backend
    rng = np.random.default_rng(2)
    scale = 1.0 + 0.02 * np.sin(np.arange(300) / 7.0)
    cells = scale[:, None, None] * skewed_cell()
    s = np.cumsum(rng.normal(scale=0.02, size=(300, 4, 3)), axis=0)
    wrapped = (s - np.floor(s)) @ cells
    still = back(remove_breathing(unwrap(to(wrapped), to(cells)), to(cells)))
    np.testing.assert_allclose(still - still[:1], (s - s[:1]) @ cells.mean(0), atol=1e-8)


def test_breathing_of_a_resting_crystal_is_no_motion(backend):
    to, back = backend
    cells = (1.0 + 0.05 * np.random.default_rng(0).random(50))[:, None, None] * skewed_cell()
    rest = np.random.default_rng(1).random((1, 8, 3)) + 3.0  # outside the cell: unwrapped positions
    np.testing.assert_allclose(back(msd(remove_breathing(to(rest @ cells), to(cells)))), 0.0, atol=1e-10)


def test_unwrap_refuses_frames_too_far_apart(backend):
    to, _ = backend
    wrapped = np.zeros((2, 1, 3))
    wrapped[1, 0, 0] = 4.5
    with pytest.raises(DataError, match=r"moves 4\.50 Å between two frames") as error:
        unwrap(to(wrapped), to(np.eye(3) * 10.0))
    assert error.value.problem.remedy.startswith("save frames more often")


def test_rigid_translation_is_removed_with_declared_weights(walk, backend):
    to, back = backend
    drift = np.linspace(0, 30, len(walk))[:, None, None] * np.array([1.0, -2.0, 0.5])
    framework = np.zeros((len(walk), 4, 3)) + np.random.default_rng(5).random((1, 4, 3))
    weights = np.array([0.0] * 5 + [16.0, 31.0, 16.0, 91.0])
    both = np.concatenate([walk, framework], axis=1) + drift
    still, removed = remove_drift(to(both), to(weights))
    np.testing.assert_allclose(back(msd(still[:, :5, :])), naive_msd(walk), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(back(removed), drift[:, 0], atol=1e-10)


def test_a_second_mobile_species_outside_the_framework_does_not_drag_it(walk):
    still = np.zeros((len(walk), 2, 3))
    moving = 5.0 * walk[:, :2]
    both = np.concatenate([moving, still], axis=1)
    corrected, drift = remove_drift(both, np.array([0.0, 0.0, 1.0, 1.0]))
    assert np.abs(drift).max() == 0.0
    np.testing.assert_array_equal(corrected, both)


def test_fast_length_is_even_smooth_and_large_enough():
    for n in (1, 7, 100, 2001, 19999, 2 * 99991):
        m = fast_length(n)
        assert n <= m <= 2 * n + 2
        assert m % 2 == 0
        for p in (2, 3, 5):
            while m % p == 0:
                m //= p
        assert m == 1


@pytest.mark.parametrize("chunks", [(1500,), (1,) * 40 + (1460,), (377, 377, 377, 369)])
def test_streaming_does_not_depend_on_the_chunks(backend, chunks):
    to, _ = backend
    x = np.cumsum(np.random.default_rng(4).normal(size=(1500, 4, 3)), axis=0)
    stream, start = MSDStream(points=8), 0
    for n in chunks:
        stream.add(to(x[start : start + n]))
        start += n
    result = stream.result()
    assert result.frames == 1500
    assert result.lags[-1] > 500
    for k, lag in enumerate(result.lags):
        spacing = 1
        while lag > 8 * spacing:
            spacing *= 2
        y = x[::spacing]
        d = y[lag // spacing :] - y[: -(lag // spacing)]
        sq = (d**2).sum(-1)
        assert result.msd_A2[k] == pytest.approx(sq.mean(), rel=1e-10)
        assert result.variance_A4[k] == pytest.approx(sq.var(), rel=1e-8)
        np.testing.assert_allclose(result.per_ion_A2[k], sq.mean(0), rtol=1e-10)
        np.testing.assert_allclose(result.tensor_A2[k], np.einsum("fni,fnj->ij", d, d) / sq.size, rtol=1e-8)


def test_streaming_memory_does_not_grow():
    stream = MSDStream(points=8)
    block = np.cumsum(np.random.default_rng(0).normal(size=(500, 3, 3)), axis=0)
    sizes = []
    for k in range(40):
        stream.add(block + k)
        sizes.append(sum(level.tail.size for level in stream.levels if level.tail is not None))
    assert sizes[-1] <= 3 * 3 * 8 * 20
    assert sizes[-1] - sizes[10] <= 3 * 3 * 8 * 2  # one or two levels for four times the frames
