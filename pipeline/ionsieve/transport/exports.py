"""Results under the keys that users of other libraries know, and tables.

`as_pymatgen` has the keys and units of pymatgen-analysis-diffusion's ``get_summary_dict`` (D in cm²/s, S in mS/cm);
`as_matcalc` those of matcalc's ``DiffusionCalc``. What our verdict withholds is None there, never an invented number;
the errors are ours, that is, calibrated. The verdict travels along under ``ionsieve``.
"""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np

from ionsieve.records.estimate import Estimate
from ionsieve.transport.measuring import Transport
from ionsieve.units import nernst_einstein_S_per_cm

__all__ = ["as_matcalc", "as_pymatgen", "msd_csv"]


def _value(estimate: Estimate, factor: float = 1.0) -> float | None:
    return estimate.value * factor if estimate.is_value and estimate.value is not None else None


def _error(estimate: Estimate, factor: float = 1.0) -> float | None:
    if estimate.low68 is None or estimate.high68 is None:
        return None
    return 0.5 * (estimate.high68 - estimate.low68) * factor


def _statement(result: Transport) -> dict[str, Any]:
    return {
        "verdict": result.verdict.value,
        "outcome": result.outcome.value,
        "reason": result.reason,
        "flags": [f.value for f in result.flags],
        "diffusivity_upper_limit": result.tracer_diffusivity.value
        if result.tracer_diffusivity.kind.value == "upper_limit"
        else None,
    }


def as_pymatgen(
    result: Transport, *, time_step_fs: float | None = None, step_skip: int = 1, include_msd_t: bool = False
) -> dict[str, Any]:
    """Return pymatgen-analysis-diffusion's summary dictionary.

    Parameters
    ----------
    time_step_fs, step_skip
        As written into the dictionary; default is the frame interval and 1.
    include_msd_t
        Add ``msd``, ``msd_components``, ``mscd`` and ``dt`` (fs).
    """
    factor = 1000.0 * nernst_einstein_S_per_cm(
        1.0,
        count=result.n_mobile,
        charge=result.mobile_charge,
        volume_A3=result.volume_A3,
        temperature_K=result.temperature_K,
    )
    tensor = result.tensor_cm2_per_s if result.tracer_diffusivity.is_value else None
    parts = [tensor[k][k] for k in range(3)] if tensor else None
    relative = None
    if (error := _error(result.tracer_diffusivity)) is not None and result.tracer_diffusivity.value:
        relative = error / result.tracer_diffusivity.value * np.sqrt(3.0)  # one axis has a third of the information
    part_errors = [abs(p) * float(relative) for p in parts] if parts and relative is not None else None
    summary: dict[str, Any] = {
        "D": _value(result.tracer_diffusivity),
        "D_sigma": _error(result.tracer_diffusivity),
        "D_charge": _value(result.charge_diffusivity),
        "D_charge_sigma": _error(result.charge_diffusivity),
        "S": _value(result.conductivity, 1000.0),
        "S_sigma": _error(result.conductivity, 1000.0),
        "S_charge": _value(result.charge_conductivity, 1000.0),
        "D_components": parts,
        "S_components": [p * factor for p in parts] if parts else None,
        "D_components_sigma": part_errors,
        "S_components_sigma": [p * factor for p in part_errors] if part_errors else None,
        "specie": f"{result.mobile_ion}{abs(result.mobile_charge)}{'+' if result.mobile_charge > 0 else '-'}",
        "step_skip": step_skip,
        "time_step": time_step_fs if time_step_fs is not None else result.dt_ps * 1000.0 / step_skip,
        "temperature": result.temperature_K,
        "max_framework_displacement": result.framework_max_displacement_A,
        "Haven_ratio": _value(result.haven_ratio),
        "ionsieve": _statement(result),
    }
    if include_msd_t:
        summary["dt"] = [float(t) * 1000.0 for t in result.tracer.lags_ps]
        summary["msd"] = [float(m) for m in result.tracer.msd_A2]
        summary["msd_components"] = [[float(row[k, k]) for k in range(3)] for row in result.msd_tensor_A2]
        summary["mscd"] = [float(m) for m in result.charge.msd_A2]
    return summary


def as_matcalc(result: Transport) -> dict[str, Any]:
    """Return matcalc's ``DiffusionCalc`` dictionary: ``diffusivity`` (cm²/s) and ``conductivity`` (mS/cm)."""
    return {
        "diffusivity": _value(result.tracer_diffusivity),
        "conductivity": _value(result.conductivity, 1000.0),
        "diffusivity_std": _error(result.tracer_diffusivity),
        "conductivity_std": _error(result.conductivity, 1000.0),
        "temperature": result.temperature_K,
        "specie": result.mobile_ion,
        "_units": {
            "diffusivity": "cm^2/s",
            "conductivity": "mS/cm",
            "diffusivity_std": "cm^2/s",
            "conductivity_std": "mS/cm",
            "temperature": "K",
        },
        "ionsieve": _statement(result),
    }


def msd_csv(result: Transport) -> str:
    """Return lag, MSD, its parts, charge MSD and framework MSD as CSV, one row a lag."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "lag_ps",
            "msd_A2",
            "msd_x_A2",
            "msd_y_A2",
            "msd_z_A2",
            "charge_msd_per_ion_A2",
            "framework_msd_A2",
            "in_window",
        ]
    )
    window = result.fit_window_ps
    for k, t in enumerate(result.tracer.lags_ps):
        parts = result.msd_tensor_A2[k]
        inside = window is not None and window[0] - 1e-9 <= t <= window[1] + 1e-9
        row = [t, result.tracer.msd_A2[k], parts[0, 0], parts[1, 1], parts[2, 2]]
        row += [result.charge.msd_A2[k], result.framework_msd_A2[k]]
        writer.writerow([f"{float(x):.9g}" for x in row] + [int(inside)])
    return text.getvalue()
