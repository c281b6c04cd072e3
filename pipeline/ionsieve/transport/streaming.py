"""D with its error from runs too long for memory: chunks in, the same statements out.

The paths are brought into the cell of the first frame and the frame of the framework chunk by chunk; tracer and dipole
go through `kernels.streaming.MSDStream`. Window, fit, verdict and error are those of `diffusion`, at the lags of the
stream; the block guard is missing (frames are gone), the ion guard is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ionsieve.errors import InputError, Problems
from ionsieve.records.estimate import Estimate
from ionsieve.transport.checks import check_chunk, check_continuous, check_elements, check_names
from ionsieve.transport.diffusion import Diffusivity, judge, log_log_slope
from ionsieve.transport.gls import fit_line
from ionsieve.transport.kernels.displacement import dipole
from ionsieve.transport.kernels.streaming import MSDStream
from ionsieve.transport.settings import TransportSettings
from ionsieve.transport.window import FitWindow
from ionsieve.units import CM2_PER_S_FROM_A2_PER_PS
from ionsieve.verdicts import Flag, Verdict

__all__ = ["Chunk", "Moments", "StreamedTransport", "relative_error", "stream_diffusivity"]


class Chunk(Protocol):
    """What a chunk of frames must have; `ionsieve.trajectory.iter_chunks` yields such."""

    @property
    def positions(self) -> NDArray[np.float64]:
        """(F, N, 3) Å, continuous within and between chunks."""

    @property
    def cells(self) -> NDArray[np.float64]:
        """(F, 3, 3) Å."""

    @property
    def times_ps(self) -> NDArray[np.float64]:
        """(F,), evenly spaced over all chunks."""

    @property
    def symbols(self) -> Sequence[str]:
        """N element symbols."""


class Moments(Protocol):
    """Moments of displacements at some lags; `kernels.streaming.StreamedMSD` and the running MSD of a run are such."""

    @property
    def lags(self) -> NDArray[np.int64]:
        """(L,) in frames, ascending."""

    @property
    def msd_A2(self) -> NDArray[np.float64]:
        """(L,)."""

    @property
    def variance_A4(self) -> NDArray[np.float64]:
        """(L,), of one squared displacement."""

    @property
    def per_ion_A2(self) -> NDArray[np.float64]:
        """(L, N)."""

    @property
    def frames(self) -> int:
        """Frames seen."""


@dataclass(frozen=True)
class StreamedTransport:
    """Tracer and charge diffusivity of a stream; `estimate` is the tracer's statement with its verdict."""

    estimate: Estimate
    tracer: Diffusivity
    charge: Diffusivity
    n_mobile: int
    mean_volume_A3: float


def stream_diffusivity(
    chunks: Iterable[Chunk],
    *,
    mobile: str,
    framework: Sequence[str] = (),
    jump_length_A: float | None = None,
    unwrapped: bool = False,
    settings: TransportSettings | None = None,
) -> StreamedTransport:
    """Measure tracer and charge diffusivity of chunks of frames in constant memory.

    Parameters
    ----------
    chunks
        Consecutive frames of one run; see `Chunk`.
    mobile, framework, unwrapped
        As in `measure`.

    Raises
    ------
    InputError
        When there is no frame, or the chunks hold different atoms.
    ProblemsError
        When the names or arrays contradict each other, or frames are not evenly spaced in and between chunks, as in
        `measure`; when the positions are wrapped.
    """
    from ase.data import atomic_masses

    settings = settings or TransportSettings()
    jump = jump_length_A or settings.jump_length_A or settings.default_jump_length_A
    ions, charge = MSDStream(), MSDStream()
    symbols: tuple[str, ...] = ()
    origin: NDArray[Any] | None = None
    reference = np.zeros((3, 3))
    first = last = volume = 0.0
    frames = 0
    is_mobile = weights = np.zeros(0)
    before: tuple[NDArray[Any], NDArray[Any]] | None = None
    interval: float | None = None
    for chunk in chunks:
        problems = Problems()
        if not len(chunk.times_ps):
            continue
        if frames == 0:
            numbers, names = check_elements(problems, chunk.symbols)
            symbols = tuple(names)
            check_names(problems, symbols, mobile, framework)
        elif tuple(chunk.symbols) != symbols:
            raise InputError("the chunks hold different atoms")
        raw, cells = np.asarray(chunk.positions, dtype=float), np.asarray(chunk.cells, dtype=float)
        times = np.asarray(chunk.times_ps, dtype=float)
        check_chunk(
            problems,
            raw,
            cells,
            times,
            len(symbols),
            before_ps=last if frames else None,
            interval_ps=interval,
        )
        problems.throw()
        if interval is None and frames + len(times) > 1:
            interval = float(times[1] - times[0]) if len(times) > 1 else float(times[0] - last)
        if frames == 0:
            is_mobile = np.asarray(symbols) == mobile
            declared = list(framework) or [s for s in set(symbols) if s != mobile]
            weights = np.where(np.isin(symbols, declared), atomic_masses[numbers], 0.0)
            weights = weights / weights.sum() if weights.sum() > 0.0 else weights
            reference, first = np.array(cells if cells.ndim == 2 else cells[0]), float(times[0])
        if cells.ndim == 2 or len(cells) == 1:
            cells = np.broadcast_to(cells, (len(raw), 3, 3))
        joined = (raw, cells) if before is None else (np.r_[before[0], raw], np.r_[before[1], cells])
        check_continuous(*joined, first_frame=frames - (before is not None), vouched=unwrapped)
        before = raw[-1:].copy(), cells[-1:].copy()
        x = raw @ np.linalg.inv(cells) @ reference
        centre = np.einsum("fnk,n->fk", x, weights)
        origin = centre[0] if origin is None else origin
        x = x[:, is_mobile.astype(bool)] - (centre - origin)[:, None, :]
        ions.add(x)
        charge.add(dipole(x, np.ones(x.shape[1])))
        frames += len(x)
        last = float(times[-1])
        volume += float(np.abs(np.linalg.det(cells)).sum())
    if frames == 0:
        raise InputError("no frame to measure")
    n = int(is_mobile.sum())
    dt = (last - first) / max(frames - 1, 1)
    tracer = _fit(ions.result(), dt, jump, settings, n_ions=n, particles=n, normalisation=1.0, window=None)
    collective = _fit(
        charge.result(), dt, jump, settings, n_ions=n, particles=1, normalisation=float(n), window=tracer.window
    )
    return StreamedTransport(judge(tracer, hops=None, settings=settings), tracer, collective, n, volume / frames)


def relative_error(moments: Moments, dt_ps: float, *, settings: TransportSettings | None = None) -> float | None:
    """Relative standard error of the tracer diffusivity that these moments support.

    No sites are known here, as they are to `measure`: jumps are counted with `stop_jump_length_A`, which is longer than
    those between homes. What is a value by this count is one by that of `measure`.

    Parameters
    ----------
    moments
        Of the mobile ions, in the frame of the framework; frames are `dt_ps` apart.

    Returns
    -------
    float or None
        None where the verdict is not yet a value: too few jumps, too short, sub-diffusive.
    """
    settings = settings or TransportSettings()
    jump = settings.jump_length_A or settings.stop_jump_length_A
    n = moments.per_ion_A2.shape[1]
    if moments.frames < 2 or not n:
        return None
    fitted = _fit(moments, dt_ps, jump, settings, n_ions=n, particles=n, normalisation=1.0, window=None)
    if (
        not fitted.value
        or fitted.error is None
        or judge(fitted, hops=None, settings=settings).kind is not Verdict.VALUE
    ):
        return None
    return fitted.error / fitted.value


def _fit(
    moments: Moments,
    dt_ps: float,
    jump: float,
    settings: TransportSettings,
    *,
    n_ions: int,
    particles: int,
    normalisation: float,
    window: FitWindow | None,
) -> Diffusivity:
    t = moments.lags * dt_ps
    curve = moments.msd_A2 / normalisation
    length = (moments.frames - 1) * dt_ps
    common: dict[str, Any] = {
        "lags_ps": t,
        "msd_A2": curve,
        "n_ions": n_ions,
        "length_ps": length,
        "jump_length_A": jump,
    }
    window = window or _window(t, curve, length, jump, settings)
    if window is None:
        return Diffusivity(**common, reason="the run holds no window to fit", flags=(Flag.SHORT_RUN,))
    k = window.lags
    variance = moments.variance_A4[k] / normalisation**2
    fit = fit_line(t[k], curve[k], variance, particle_time_ps=particles * length)
    unit = CM2_PER_S_FROM_A2_PER_PS / 6.0
    by_ion = 0.0
    if particles >= 4:
        by_ion = float(moments.per_ion_A2[k[0]].std(ddof=1) / np.sqrt(particles) / t[k[0]])
    error = fit.slope_error
    flags: list[Flag] = []
    if by_ion > settings.disagreement_factor * error:
        error = by_ion
        flags.append(Flag.ESTIMATORS_DISAGREE)
    local = log_log_slope(t[k], curve[k], variance, particles * length, 3)
    if local and local[0] + local[1] < settings.beta_low:
        flags.append(Flag.SUBDIFFUSIVE)
    if window.gain_A2 < settings.window_start_gain * jump**2:
        flags.append(Flag.SHORT_RUN)
    slope = max(fit.slope, 0.0)
    return Diffusivity(
        **common,
        value=slope * unit,
        error=error * unit,
        gls_error=fit.slope_error * unit,
        ion_error=by_ion * unit,
        beta=local[0] if local else None,
        beta_error=local[1] if local else None,
        n_eff=slope * n_ions * length / jump**2,
        window=window,
        window_ps=(float(t[k[0]]), float(t[k[-1]])),
        fit=fit,
        flags=tuple(flags),
        msd_error_A2=np.sqrt(variance * t[k] / (particles * length)),
    )


def _window(
    t: NDArray[Any], curve: NDArray[Any], length: float, jump: float, settings: TransportSettings
) -> FitWindow | None:
    """The rule of `window.choose_window` on the lags of a stream."""
    shortest = int(np.searchsorted(t, min(settings.min_lag_ps, 0.1 * length)))
    last = int(np.searchsorted(t, settings.window_end_fraction * length, side="right")) - 1
    if last - shortest < 2:
        return None
    plateau = float(curve[shortest]) if shortest > 0 else 0.0
    above = np.nonzero(curve[shortest : last + 1] >= plateau + settings.window_start_gain * jump**2)[0]
    start = shortest + int(above[0]) if len(above) else last
    cap = max(shortest, int(np.searchsorted(t, settings.window_start_max_fraction * length)))
    capped = start > cap
    start = min(start, cap)
    if last - start < 2:
        return None
    return FitWindow(np.arange(start, last + 1), plateau, capped, float(curve[last] - curve[start]))
