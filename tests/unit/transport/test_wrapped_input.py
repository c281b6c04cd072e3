"""`measure` and the stream tell wrapped positions from continuous ones, and frames too far apart from both."""

from types import SimpleNamespace

import numpy as np
import pytest

from ionsieve.errors import ProblemsError
from ionsieve.transport import measure, stream_diffusivity, unwrap
from ionsieve.transport.checks import check_continuous

CELL = np.array([[12.0, 0.0, 0.0], [-6.0, 10.4, 0.0], [1.0, 2.0, 11.0]])


def wrapped(positions, cells):
    s = positions @ np.linalg.inv(cells)
    return (s - np.floor(s)) @ cells


def walk(frames=400, ions=8, step=0.4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 10, size=(1, ions, 3)) + np.cumsum(step * rng.normal(size=(frames, ions, 3)), axis=0)


def run(positions, cells=CELL, **more):
    times = np.arange(len(positions)) * 0.1
    return measure(positions, cells, times, ["Na"] * 8, mobile="Na", charge=1, temperature_K=500.0, **more)


def test_wrapped_positions_are_refused_with_the_remedy_and_the_remedy_works():
    path = walk()
    with pytest.raises(ProblemsError, match="wrapped into the cell") as error:
        run(wrapped(path, CELL))
    assert "ionsieve.transport.unwrap" in str(error.value)
    mended = run(unwrap(wrapped(path, CELL), CELL))
    assert mended.tracer_diffusivity.value == pytest.approx(run(path).tracer_diffusivity.value, rel=1e-9)


def test_vouching_does_not_help_what_certainly_is_wrapped():
    with pytest.raises(ProblemsError, match="wrapped into the cell"):
        run(wrapped(walk(), CELL), unwrapped=True)


def test_a_breathing_cell_hides_nothing():
    path = walk()
    cells = CELL * (1.0 + 0.03 * np.sin(np.arange(400) / 20))[:, None, None]
    moving = path @ np.linalg.inv(CELL) @ cells
    run(moving, cells)
    with pytest.raises(ProblemsError, match="wrapped into the cell"):
        run(wrapped(moving, cells), cells)


def test_coarse_frames_in_the_cell_are_refused():
    path = wrapped(walk(step=6.0), CELL)
    with pytest.raises(ProblemsError, match="too far apart"):
        run(path)
    assert run(path, unwrapped=True).length_ps > 0.0


def test_a_few_long_steps_of_a_continuous_path_are_accepted():
    path = walk()
    path[150:, 2] += [9.0, 0.0, 0.0]
    path[250:, 3] += [0.0, 0.0, 7.0]
    assert run(path).tracer_diffusivity.value > 0.0


def test_long_runs_are_checked_in_blocks():
    path = np.full((3000, 600, 3), 5.0)
    path[2500:, 17] += CELL[2]
    with pytest.raises(ProblemsError, match="atom 17 after frame 2499"):
        check_continuous(path, CELL)


def chunks(positions, size=100):
    for k in range(0, len(positions), size):
        part = positions[k : k + size]
        yield SimpleNamespace(
            positions=part,
            cells=np.broadcast_to(CELL, (len(part), 3, 3)),
            times_ps=np.arange(k, k + len(part)) * 0.1,
            symbols=("Na",) * 8,
        )


def test_the_stream_sees_it_between_chunks_too():
    path = np.repeat(walk(frames=4, step=1.0), 100, axis=0)
    stream_diffusivity(chunks(path), mobile="Na")
    path[200:] += CELL[0]  # exactly at the seam of two chunks
    with pytest.raises(ProblemsError, match="after frame 199"):
        stream_diffusivity(chunks(path), mobile="Na")
    stream_diffusivity(chunks(path), mobile="Na", unwrapped=True)
