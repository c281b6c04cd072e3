"""Every registered integrator proves itself: nothing here names a method that the registry does not hold.

Seeds are fixed; thresholds are in standard errors or p-values. Power: 384 independent replicas detect an error
of 16 % in the variance of the kinetic energy and of 3 % in its mean (2 sigma, 21 degrees of freedom).
"""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats

from ionsieve.dynamics.integrators import METHODS
from ionsieve.dynamics.integrators.method import as_batch
from ionsieve.dynamics.state import Target
from ionsieve.dynamics.toys import FreeParticles, HarmonicLattice, Replicas, lattice
from ionsieve.rng import generator
from ionsieve.units import ACCELERATION_A_PER_FS2, BOLTZMANN_EV_PER_K, GPA_PER_EV_PER_A3

T_K = 600.0
KT = BOLTZMANN_EV_PER_K * T_K
NVT = sorted(name for name, m in METHODS.items() if m.ensemble == "NVT")
NPT = sorted(name for name, m in METHODS.items() if m.ensemble == "NPT")
THERMAL = sorted(NVT + NPT)


pytestmark = pytest.mark.usefixtures("one_thread")


def target(**changes):
    values = {
        "temperature_K": T_K,
        "dt_fs": 2.0,
        "tau_fs": 50.0,
        "friction_per_ps": 10.0,
        "pressure_GPa": 0.5,
        "barostat_tau_fs": 100.0,
        "compressibility_per_GPa": 0.02,
    }
    return Target(**{**values, **changes})


def crystal(quartic=40.0):
    return HarmonicLattice(2, 3.0, 2.0, quartic)


def thermal_replicas(name, potential, count, *, atoms=None, steps=200, **changes):
    """Replicas of a method that start from a canonical ensemble made by BAOAB.

    Its thermostat acts on every atom, so that it equilibrates even harmonic modes, which a global thermostat on a
    crystal this small cannot. BAOAB itself is proved below from a start without any spread.
    """
    atoms = lattice(2) if atoms is None else atoms
    replicas = Replicas(METHODS[name], potential, atoms, count, target(**changes), names=("thermal", name))
    warm_target = target(**{**changes, "dt_fs": 2.0, "friction_per_ps": 40.0})
    warm = Replicas(METHODS["baoab"], potential, atoms, count, warm_target, names=("warm", name))
    warm.run(steps)
    v = warm.state.velocities
    if METHODS[name].keeps_momentum:
        n = len(atoms)
        weighted = (warm.state.masses * v).reshape(count, n, 3).sum(dim=1)
        v = v - (weighted / warm.state.masses.reshape(count, n, 1).sum(dim=1)).repeat_interleave(n, dim=0)
    fields = ("positions", "forces", "energies")
    state = dataclasses.replace(replicas.state, velocities=v, **{f: getattr(warm.state, f) for f in fields})
    result = potential.evaluate(as_batch(state), stress=True)
    bath = dict(state.bath)
    if "nhc_velocity" in bath:  # the chain is part of the ensemble: it begins with its own Gaussian velocities
        width = (replicas.control.kT_eV[:, None] / replicas.control.extra["nhc_mass"]).sqrt()
        bath["nhc_velocity"] = width * torch.from_numpy(generator("chain").standard_normal(tuple(width.shape)))
    replicas.state = dataclasses.replace(state, stresses=result.stresses, bath=bath)
    return replicas


# ---------------------------------------------------------------- (a) the conserved quantity


@pytest.mark.parametrize("name", sorted(METHODS))
def test_error_of_the_conserved_quantity_has_the_declared_order(name):
    """RMS deviation over 1 ps at three time steps; the slope in log-log is the order, within 0.3."""
    method = METHODS[name]
    steps = (1.0, 2.0, 4.0)
    errors = []
    for dt in steps:
        r = Replicas(method, crystal(), lattice(2), 48, target(dt_fs=dt, tau_fs=100.0, barostat_tau_fs=500.0))
        start = method.conserved(r.state, r.control)
        seen = []
        r.run(
            int(1000 / dt),
            int(40 / dt),
            lambda q, s=seen, m=method, c=start: s.append(m.conserved(q.state, q.control) - c),
        )
        errors.append(float(torch.stack(seen).pow(2).mean().sqrt()))
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(method.order, abs=0.3)
    assert errors[1] < 0.02 * 12 * KT  # small against the energy of the modes at 2 fs


def test_nve_keeps_momentum_and_does_not_drift():
    r = Replicas(METHODS["nve"], crystal(), lattice(2), 16, target(dt_fs=1.0))
    energy = [METHODS["nve"].conserved(r.state, r.control).clone()]
    r.run(2000, 50, lambda q: energy.append(METHODS["nve"].conserved(q.state, q.control).clone()))
    e = torch.stack(energy).numpy()
    t = np.arange(len(e)) * 0.05
    slopes = np.polyfit(t, e, 1)[0]  # eV per ps of 8 atoms
    assert abs(slopes.mean()) < 4 * slopes.std(ddof=1) / np.sqrt(16)  # no common drift
    assert np.abs(slopes).max() * t[-1] < 1.5 * e.std(axis=0).max()
    assert e.std(axis=0).max() < 2e-3 * 12 * KT
    momentum = (r.state.masses * r.state.velocities).reshape(16, 8, 3).sum(dim=1)
    assert float(momentum.abs().max()) < 1e-12


# ---------------------------------------------------------------- (b) the distribution of the kinetic energy


@pytest.mark.parametrize("name", THERMAL)
def test_kinetic_energy_is_gamma_distributed(name):
    """KS test and variance at three times over 384 independent replicas."""
    r = thermal_replicas(name, crystal(), 384, dt_fs=1.0)
    seen = []
    r.run(240, 80, lambda q: seen.append(q.kinetic.numpy().copy()))
    half = 0.5 * float(r.state.dof[0])
    law = stats.gamma(half, scale=KT)
    for kinetic in seen:
        assert stats.kstest(kinetic, law.cdf).pvalue > 1e-3
    kinetic = np.concatenate(seen)
    assert kinetic.mean() == pytest.approx(half * KT, rel=4 / np.sqrt(384 * half))
    assert kinetic.var() == pytest.approx(half * KT**2, rel=4 * np.sqrt((2 + 6 / half) / 384))


@pytest.mark.parametrize("name", ["csvr", "baoab"])
def test_stochastic_thermostats_reach_the_distribution_from_zero_spread(name):
    """All replicas begin with exactly the same kinetic energy; two atoms: three or six degrees of freedom."""
    from ase import Atoms

    pair = Atoms("Na2", positions=[[0, 0, 0], [3, 3, 3]], cell=np.eye(3) * 6, pbc=True)
    r = Replicas(METHODS[name], FreeParticles(), pair, 1024, target(tau_fs=20.0, friction_per_ps=50.0))
    r.run(200)
    half = 0.5 * float(r.state.dof[0])
    assert half == (1.5 if name == "csvr" else 3.0)
    assert stats.kstest(r.kinetic.numpy(), stats.gamma(half, scale=KT).cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", THERMAL)
def test_cold_start_is_brought_to_temperature(name):
    """Started at half the temperature, the mean of 24 replicas over 3 ps is the target within 3 %."""
    dt_fs = 1.0 if name == "baoab" else 2.0  # its momenta are too cold by (omega dt)²/4
    r = Replicas(METHODS[name], crystal(400.0), lattice(2), 24, target(tau_fs=40.0, dt_fs=dt_fs))
    r.state = dataclasses.replace(r.state, velocities=r.state.velocities * 0.7)
    r.run(500)
    seen = []
    r.run(1500, 10, lambda q: seen.append(q.kinetic.numpy().copy()))
    T = 2 * np.mean(seen) / (float(r.state.dof[0]) * BOLTZMANN_EV_PER_K)
    assert pytest.approx(T_K, rel=0.03) == T


@pytest.mark.parametrize("name", THERMAL)
def test_equipartition_over_directions_and_masses(name):
    """Kinetic energy a degree of freedom: the same in x, y, z, and on light and heavy atoms (within 4.5 sigma)."""
    atoms = lattice(2)
    atoms.numbers[::2] = 3
    r = thermal_replicas(name, crystal(), 384, atoms=atoms, dt_fs=1.0)
    r.run(100)
    kinetic = (r.control.half_mass * r.state.velocities**2).reshape(384, 8, 3).numpy()
    m = atoms.get_masses()
    # with the total momentum at zero, atom i has 1 - m_i/M degrees of freedom a direction
    share = 1 - m / m.sum() if METHODS[name].keeps_momentum else np.ones(8)
    T = 2 * kinetic.mean(axis=0) / share[:, None] / BOLTZMANN_EV_PER_K
    np.testing.assert_allclose(T.mean(axis=0), T_K, rtol=4.5 * np.sqrt(2 / (384 * 7)))
    for species in (slice(0, None, 2), slice(1, None, 2)):
        assert T[species].mean() == pytest.approx(T_K, rel=4.5 * np.sqrt(2 / (384 * 9)))


# ---------------------------------------------------------------- (c) configurational averages


@pytest.mark.parametrize("name", NVT)
def test_harmonic_crystal_has_half_kT_in_every_mode(name):
    """<U> = (3N - 3) kT/2 exactly, and its variance; N = 8, the total momentum or the three free modes left out."""
    r = thermal_replicas(name, crystal(0.0), 384, dt_fs=1.0)
    seen = []
    r.run(200, 50, lambda q: seen.append(q.state.energies.numpy().copy()))
    half = 0.5 * 21
    u = np.concatenate(seen)
    assert u.mean() == pytest.approx(half * KT, rel=4 / np.sqrt(384 * half))
    assert u.var() == pytest.approx(half * KT**2, rel=5 * np.sqrt((2 + 6 / half) / 384))


def test_anharmonic_averages_agree_between_the_methods():
    """No closed form: CSVR, Nosé-Hoover and BAOAB must meet each other."""
    means, errors = {}, {}
    for name in NVT:
        r = thermal_replicas(name, crystal(60.0), 192, dt_fs=1.0)
        seen = []
        r.run(300, 50, lambda q, s=seen: s.append(q.state.energies.numpy().copy()))
        per_replica = np.mean(seen, axis=0)
        means[name], errors[name] = per_replica.mean(), per_replica.std() / np.sqrt(192)
    for a in NVT:
        for b in NVT:
            assert abs(means[a] - means[b]) < 4 * np.hypot(errors[a], errors[b]) + 1e-12


def test_langevin_diffusion_of_free_particles():
    """D = kT / (m gamma), from the displacement after 40 relaxation times; 4096 x 3 components: 1.3 % standard
    error."""
    gamma, dt, steps, count = 0.05, 4.0, 200, 512  # 1/fs, fs
    atoms = lattice(2)
    r = Replicas(
        METHODS["baoab"], FreeParticles(), atoms, count, target(dt_fs=dt, friction_per_ps=1000 * gamma), names=("free",)
    )
    r.run(50)
    start = r.state.positions.clone()
    r.run(steps)
    msd = float(((r.state.positions - start) ** 2).mean())  # per component, Å²
    c, t = np.exp(-gamma * dt), dt * steps
    D = KT * ACCELERATION_A_PER_FS2 / (float(r.state.masses[0]) * gamma)  # Å²/fs
    # the splitting's own D is D (gamma dt / 2) / tanh(gamma dt / 2); the ballistic start costs t0 = 1/gamma
    D_dt = D * (0.5 * gamma * dt) / np.tanh(0.5 * gamma * dt)
    expected = 2 * D_dt * t * (1 - (1 - c**steps) / (gamma * t))
    assert D_dt == pytest.approx(D, rel=0.004)
    assert msd == pytest.approx(expected, rel=4 * np.sqrt(2 / (count * 24)))


# ---------------------------------------------------------------- NPT: volumes


@pytest.mark.parametrize("name", NPT)
def test_ideal_gas_volume_is_gamma_distributed(name):
    """exp(-P0 V / kT) V^N dV: mean (N + 1) kT/P0, variance (N + 1) (kT/P0)²; N = 8."""
    P0 = 0.5 / GPA_PER_EV_PER_A3
    volume = 9 * KT / P0
    atoms = lattice(2, 0.5 * volume ** (1 / 3))
    compressibility = 1 / 0.5  # an ideal gas: 1/P0
    r = Replicas(
        METHODS[name],
        FreeParticles(),
        atoms,
        384,
        target(dt_fs=4.0, tau_fs=20.0, barostat_tau_fs=100.0, compressibility_per_GPa=compressibility),
    )
    r.run(300)
    seen = []
    r.run(300, 100, lambda q: seen.append(torch.linalg.det(q.state.cells).abs().numpy().copy()))
    law = stats.gamma(9, scale=KT / P0)
    for v in seen:
        assert stats.kstest(v, law.cdf).pvalue > 1e-3
    v = np.concatenate(seen)
    assert v.mean() == pytest.approx(law.mean(), rel=4 / np.sqrt(384 * 9))
    assert v.var() == pytest.approx(law.var(), rel=5 * np.sqrt((2 + 6 / 9) / 384))


def test_crystal_volume_follows_its_exact_distribution_isotropic():
    """p(V) ~ V exp(-(3N k (a - a0)²/2 + P0 V)/kT), V = N a³, by quadrature; pressure averages to P0."""
    potential = crystal(0.0)
    r = thermal_replicas("crescale", potential, 192, dt_fs=2.0, pressure_GPa=1.0, barostat_tau_fs=100.0)
    r.run(250)
    volumes, pressures = [], []

    def see(q):
        v = torch.linalg.det(q.state.cells)
        volumes.append(v.numpy().copy())
        virial = -q.state.stresses.diagonal(dim1=1, dim2=2).mean(dim=1)
        pressures.append(((2 * q.kinetic + 3 * KT) / (3 * v) + virial).numpy() * GPA_PER_EV_PER_A3)

    r.run(400, 100, see)
    a = np.linspace(2.2, 3.6, 20001)
    V = 8 * a**3
    log_p = -(0.5 * 24 * potential.k * (a - 3.0) ** 2 + V / GPA_PER_EV_PER_A3) / KT + np.log(V)
    p = np.exp(log_p - log_p.max()) * 24 * a**2
    mean = float((p * V).sum() / p.sum())
    var = float((p * (V - mean) ** 2).sum() / p.sum())
    v = np.concatenate(volumes)
    n_independent = 192 * 2
    assert v.mean() == pytest.approx(mean, abs=4 * np.sqrt(var / n_independent))
    assert v.var() == pytest.approx(var, rel=4 * np.sqrt(2 / n_independent))
    per_replica = np.mean(pressures, axis=0)
    assert per_replica.mean() == pytest.approx(1.0, abs=4 * per_replica.std() / np.sqrt(192))


def test_crystal_cell_fluctuates_in_length_and_shear_anisotropic():
    """Each length: variance kT/(N k) (stiff limit; 3 % anharmonic correction), no correlation between them.

    A shear e_xy moves two rows, so its variance is half of that of a strain, kT/(2 N k a0²). The cell does not turn.
    """
    potential = HarmonicLattice(2, 3.0, 8.0, 0.0)
    r = thermal_replicas("crescale_anisotropic", potential, 192, dt_fs=2.0, pressure_GPa=0.0)
    r.run(250)
    seen = []
    r.run(400, 100, lambda q: seen.append((q.state.cells / 2).numpy().copy()))
    cells = np.concatenate(seen)
    lengths = np.linalg.norm(cells, axis=2)
    expected = KT / (8 * potential.k)
    np.testing.assert_allclose(lengths.var(axis=0), expected, rtol=0.2)
    pairs = np.triu_indices(3, 1)
    off = np.corrcoef(lengths.T)[pairs]
    assert np.abs(off).max() < 5 / np.sqrt(192 * 2)
    shear, turn = ((0.5 * (cells + sign * cells.transpose(0, 2, 1)))[:, *pairs] for sign in (1, -1))
    np.testing.assert_allclose(shear.var(axis=0), 0.5 * expected, rtol=0.25)
    assert turn.var(axis=0).max() < 0.02 * expected


# ---------------------------------------------------------------- (d) alone or in a batch, (f) every setting counts


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_system_is_bitwise_the_same_alone_and_in_a_batch(name):
    method = METHODS[name]
    names = ("batch", name)
    together = Replicas(method, crystal(), lattice(2), 7, target(), names=names)
    together.run(150)
    for i in (0, 3, 6):
        alone = Replicas(method, crystal(), lattice(2), 7, target(), names=names)
        rows = slice(8 * i, 8 * (i + 1))
        s = alone.state
        cut = dataclasses.replace(
            s,
            **{f: getattr(s, f)[rows] for f in ("positions", "velocities", "forces", "numbers", "masses")},
            **{f: getattr(s, f)[i : i + 1] for f in ("cells", "energies", "stresses", "dof")},
            system_index=torch.zeros(8, dtype=torch.int64),
            bath={k: v[i : i + 1] for k, v in s.bath.items()},
        )
        alone.state, alone.streams = cut, alone.streams[i : i + 1]
        control = type(alone.control).build(cut, [target()])
        alone.control = dataclasses.replace(control, extra=method.prepare(control, cut))
        alone.run(150)
        assert torch.equal(alone.state.positions, together.state.positions[rows])
        assert torch.equal(alone.state.velocities, together.state.velocities[rows])
        assert torch.equal(alone.state.cells[0], together.state.cells[i])


USED = {
    "nve": ("dt_fs",),
    "csvr": ("dt_fs", "temperature_K", "tau_fs"),
    "nose_hoover": ("dt_fs", "temperature_K", "tau_fs", "chain_length"),
    "baoab": ("dt_fs", "temperature_K", "friction_per_ps"),
    "crescale": ("dt_fs", "temperature_K", "tau_fs", "pressure_GPa", "barostat_tau_fs", "compressibility_per_GPa"),
    "crescale_anisotropic": (
        "dt_fs",
        "temperature_K",
        "tau_fs",
        "pressure_GPa",
        "barostat_tau_fs",
        "compressibility_per_GPa",
    ),
}


@pytest.mark.parametrize(("name", "key"), [(n, k) for n in sorted(METHODS) for k in USED[n]])
def test_every_documented_setting_changes_the_result(name, key):
    def positions(t):
        r = Replicas(METHODS[name], crystal(), lattice(2), 1, target(temperature_K=300.0, chain_length=3))
        control = type(r.control).build(r.state, [t])
        r.control = dataclasses.replace(control, extra=METHODS[name].prepare(control, r.state))
        r.state = dataclasses.replace(r.state, bath=METHODS[name].bath(r.state, r.control))
        r.run(20)
        return r.state.positions

    base = target(temperature_K=300.0, chain_length=3)
    changed = dataclasses.replace(base, **{key: 2 if key == "chain_length" else getattr(base, key) * 1.5})
    assert not torch.equal(positions(base), positions(changed))


def test_registry_names_its_methods():
    for name, method in METHODS.items():
        assert method.name == name
        assert method.cite
        assert bool(method.noise) != method.deterministic
