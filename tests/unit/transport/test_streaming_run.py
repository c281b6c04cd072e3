"""A run in chunks says what the run in memory says."""

from types import SimpleNamespace

import numpy as np
import pytest

from ionsieve.errors import InputError, ProblemsError
from ionsieve.transport import TransportSettings, measure, relative_error, stream_diffusivity
from ionsieve.transport.kernels.streaming import MSDStream
from ionsieve.transport.synthetic import lattice_walk
from ionsieve.verdicts import Verdict

FRAMES = 3000


@pytest.fixture(scope="module")
def run():
    rng = np.random.default_rng(0)
    walk = lattice_walk(ions=20, frames=FRAMES, jumps=900, rattle_A=0.2, seed=3)
    rest = rng.uniform(0, 12, size=(1, 10, 3)) + 0.1 * rng.normal(size=(FRAMES, 10, 3))
    drift = np.arange(FRAMES)[:, None, None] * np.array([0.003, 0.0, -0.001])
    scale = 1.0 + 0.01 * np.sin(np.arange(FRAMES) / 11.0)
    positions = (np.concatenate([walk.positions_A, rest], axis=1) + drift) * scale[:, None, None]
    return positions, scale[:, None, None] * (12.0 * np.eye(3)), np.arange(FRAMES) * 0.1, ["Na"] * 20 + ["P"] * 10


def chunks(run, size):
    positions, cells, times, symbols = run
    for k in range(0, FRAMES, size):
        part = slice(k, k + size)
        yield SimpleNamespace(positions=positions[part], cells=cells[part], times_ps=times[part], symbols=symbols)


def test_the_stream_agrees_with_the_whole(run):
    settings = TransportSettings(jump_length_A=3.0)
    whole = measure(*run, mobile="Na", charge=1, framework=("P",), temperature_K=600.0, settings=settings)
    streamed = stream_diffusivity(chunks(run, 700), mobile="Na", framework=("P",), settings=settings)
    assert streamed.estimate.kind is whole.verdict is Verdict.VALUE
    assert streamed.estimate.value == pytest.approx(whole.tracer_diffusivity.value, rel=0.06)
    assert streamed.tracer.error == pytest.approx(whole.tracer.error, rel=0.3)
    assert streamed.charge.value == pytest.approx(whole.charge.value, rel=0.35)
    assert streamed.mean_volume_A3 == pytest.approx(whole.volume_A3, rel=1e-3)


def test_the_chunks_do_not_matter(run):
    a = stream_diffusivity(chunks(run, 700), mobile="Na", framework=("P",))
    b = stream_diffusivity(chunks(run, 13), mobile="Na", framework=("P",))
    assert a.tracer.value == pytest.approx(b.tracer.value, rel=1e-10)
    assert a.tracer.error == pytest.approx(b.tracer.error, rel=1e-8)


def test_a_short_stream_gives_a_limit(run):
    short = [next(iter(chunks(run, 4)))]
    assert stream_diffusivity(short, mobile="Na").estimate.kind is Verdict.UPPER_LIMIT


def test_our_files_stream(tmp_path, run):
    from ionsieve.trajectory.h5md import Trajectory, iter_chunks, write

    positions, cells, times, _ = run
    made = Trajectory(positions, cells, times, np.arange(FRAMES), np.array([11] * 20 + [15] * 10))
    path = write(tmp_path / "run.h5", made)
    found = stream_diffusivity(iter_chunks(path, 500), mobile="Na", framework=("P",))
    assert found.tracer.value == pytest.approx(
        stream_diffusivity(chunks(run, 500), mobile="Na", framework=("P",)).tracer.value, rel=1e-4
    )


def test_wrong_streams_are_refused(run):
    with pytest.raises(InputError, match="no frame"):
        stream_diffusivity([], mobile="Na")
    with pytest.raises(InputError, match="no Li"):
        stream_diffusivity(chunks(run, 700), mobile="Li")
    first, second = list(chunks(run, 1500))
    second.symbols = second.symbols[::-1]
    with pytest.raises(InputError, match="different atoms"):
        stream_diffusivity([first, second], mobile="Na")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"framework": ("Zr",)}, "no Zr in the trajectory"),
        ({"framework": ("Na",)}, "both mobile and framework"),
        ({"mobile": "Li"}, "no Li in the trajectory"),
        ({"lost": 1500}, "evenly spaced"),
        ({"lost": 700}, "evenly spaced"),  # between two chunks
        ({"symbols": ["Na"] * 20 + ["Xy"] * 10}, "no such element"),
        ({"nan": 1500}, "NaN"),
    ],
)
def test_wrong_streams_teach(run, change, message):
    positions, cells, times, symbols = run
    times, positions = times.copy(), positions.copy()
    if "lost" in change:
        times[change["lost"] :] += 0.4
    if "nan" in change:
        positions[change["nan"]] = np.nan
    told = (positions, cells, times, change.get("symbols", symbols))
    names = {"mobile": "Na", "framework": ("P",)} | {k: v for k, v in change.items() if k in ("mobile", "framework")}
    if "symbols" in change:
        names["framework"] = ()
    with pytest.raises(ProblemsError, match=message):
        stream_diffusivity(chunks(told, 700), **names)


@pytest.mark.parametrize("spacing", [3.0, 4.2])
def test_what_ends_a_run_is_a_value_for_the_measurement(spacing):
    """Sites on a grid: the rule, which knows no sites, ends no walk that `measure` with its sites calls indicative."""
    ended = 0
    for seed in range(6):
        walk = lattice_walk(ions=16, frames=1200, jumps=360, jump_length_A=spacing, seed=seed)
        sites = np.unique(np.round(walk.positions_A / spacing).reshape(-1, 3) % 6, axis=0) * spacing
        cell = 6 * spacing * np.eye(3)
        stream, done = MSDStream(), 0
        for k in range(0, 1200, 40):
            stream.add(walk.positions_A[k : k + 40])
            error = relative_error(stream.result(), 0.1)
            if error is not None and error <= 0.3:
                done = k + 40
                break
        if not done:
            continue
        ended += 1
        paths = walk.positions_A[:done]
        found = measure(
            paths, cell, np.arange(done) * 0.1, ["Na"] * 16, mobile="Na", charge=1, temperature_K=600.0,
            mobile_sites_A=sites,
        )  # fmt: skip
        assert found.verdict is Verdict.VALUE, (seed, done, found.n_eff, found.hops)
    assert ended > 3
