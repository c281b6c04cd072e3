"""Random runs of every shape: always an answer that goes through JSON, never a crash, a warning or a NaN."""

import numpy as np
import pytest

from ionsieve.records import Measurement
from ionsieve.transport import estimate_candidate, measure
from ionsieve.transport.exports import as_matcalc, as_pymatgen, msd_csv

CELLS = (10.0 * np.eye(3), 10.0 * np.array([[1.0, 0, 0], [-0.5, 0.866, 0], [0, 0, 1.2]]))


@pytest.mark.parametrize("seed", range(120))
def test_any_run_is_answered(seed):
    rng = np.random.default_rng(seed)
    frames, ions, rest = (
        int(rng.choice([1, 2, 3, 5, 8, 12, 25, 60, 200])),
        int(rng.choice([1, 2, 5])),
        int(rng.integers(4)),
    )
    scale = float(rng.choice([0.0, 1e-8, 1e-3, 0.1, 1.0, 30.0]))
    x = np.zeros((frames, ions + rest, 3)) + rng.uniform(0, 10, (1, ions + rest, 3))
    kind = seed % 4
    if kind == 1:
        x = x + scale * rng.standard_normal(x.shape)
    elif kind == 2:
        x[:, :ions] += np.cumsum(scale * rng.standard_normal((frames, ions, 3)), axis=0)
    elif kind == 3:
        x += np.linspace(0, scale, frames)[:, None, None]
    breathing = 0.01 * rng.random(frames)[:, None, None] if rng.random() < 0.3 else 0.0
    symbols = ["Na"] * ions + (["P"] + ["S"] * (rest - 1) if rest else [])
    result = measure(
        x,
        np.tile(CELLS[seed % 2], (frames, 1, 1)) * (1.0 + breathing),
        np.arange(frames) * float(rng.choice([0.001, 0.05, 1.0])),
        symbols,
        mobile="Na",
        charge=1,
        framework=("P",) if rest and rng.random() < 0.7 else (),
        temperature_K=600.0,
        mobile_sites_A=None if rng.random() < 0.5 else rng.uniform(0, 10, (int(rng.choice([1, 2, 30])), 3)),
        polyanions=(("P", "S", 3.0),) if rest > 1 else (),
        energies_eV=rng.standard_normal(frames) * scale if rng.random() < 0.5 else None,
    )
    record = result.to_record(run_id="a", configuration_id="b", candidate_id="c")
    assert Measurement.from_json(record.to_json()) == record
    assert as_pymatgen(result, include_msd_t=True)["temperature"] == 600.0
    assert as_matcalc(result)["specie"] == "Na"
    assert "nan" not in msd_csv(result)
    assert estimate_candidate([record]).to_json()
    if not result.tracer_diffusivity.is_value:
        assert result.reason
