"""Host work a system and step with a null model: what the engine itself costs beside the potential.

    python benchmarks/host_overhead.py [--small] [--peer-python /path/to/python-with-torch-sim]

64 systems of 216 atoms, NVT, CPU time (user + system of all threads) divided by systems and steps, bare (no frame
kept) and with a frame every 10 steps on disk. ASE (Langevin, one system) stands beside it, and torch-sim where an
interpreter that has it is named: it runs in the same call, on the same machine, with the same sizes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SYSTEMS, ATOMS_EDGE, STEPS = 64, 6, 1000


def ours(systems: int, steps: int, every: int | None, folder: Path) -> float:
    """CPU milliseconds a system and step of our engine, start-up taken out by the difference of two lengths."""
    import torch

    from ionsieve.dynamics import DynamicsSettings, GuardSettings, Job, simulate
    from ionsieve.dynamics.toys import FreeParticles, lattice

    torch.set_num_threads(1)
    settings = DynamicsSettings(
        equilibrate_ps=0.0,
        frame_interval_fs=20.0 if every else 2.0 * steps,
        batch_atoms_cpu=SYSTEMS * ATOMS_EDGE**3,  # all in one batch, as on a GPU (the CPU's default is 512 atoms)
        # free particles fly: the framework guard must not end them, all other guards run
        guards=GuardSettings(max_framework_rms_A=1e9, min_distance_A=0.01, max_temperature_factor=50),
    )

    def cpu(n_steps: int, tag: str) -> float:
        jobs = [
            Job(f"r{i}", lattice(ATOMS_EDGE), 600.0, (1, i), folder / tag / f"r{i}", produce_ps=n_steps * 0.002)
            for i in range(systems)
        ]
        chosen = settings if every else settings.model_copy(update={"frame_interval_fs": 2.0 * n_steps})
        start = time.process_time()
        progress = simulate(jobs, FreeParticles(), chosen)
        assert all(p.state == "done" for p in progress), progress[0].reason
        return time.process_time() - start

    cpu(100, "warm")
    short, long = cpu(steps // 4, "short"), cpu(steps, "long")
    return 1e3 * (long - short) / (steps - steps // 4) / systems


def ase(steps: int, every: int | None, folder: Path) -> float:
    """CPU milliseconds a step of ASE's Langevin for one system of the same size."""
    import numpy as np
    from ase import units
    from ase.calculators.calculator import Calculator, all_changes
    from ase.io.trajectory import Trajectory
    from ase.md.langevinbaoab import LangevinBAOAB

    from ionsieve.dynamics.toys import lattice

    class Null(Calculator):
        implemented_properties = ["energy", "forces"]

        def calculate(self, atoms=None, properties=None, system_changes=all_changes):
            super().calculate(atoms, properties, system_changes)
            self.results = {"energy": 0.0, "forces": np.zeros((len(self.atoms), 3))}

    atoms = lattice(ATOMS_EDGE)
    atoms.calc = Null()
    atoms.set_momenta(np.random.default_rng(0).normal(size=(len(atoms), 3)))
    dynamics = LangevinBAOAB(
        atoms, 2 * units.fs, temperature_K=600, T_tau=1000 * units.fs, rng=np.random.default_rng(0)
    )
    if every:
        dynamics.attach(Trajectory(str(folder / "ase.traj"), "w", atoms).write, interval=every)
    dynamics.run(50)
    start = time.process_time()
    dynamics.run(steps)
    return 1e3 * (time.process_time() - start) / steps


PEER = """
import json, sys, time, tempfile, pathlib
import torch, torch_sim as ts
torch.set_num_threads(1)
import numpy as np
systems, edge, steps, every = (int(x) for x in sys.argv[1:5])
class Null(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self._device, self._dtype = torch.device("cpu"), torch.float64
        self._compute_forces, self._compute_stress, self._memory_scales_with = True, False, "n_atoms"
    device = property(lambda s: s._device)
    dtype = property(lambda s: s._dtype)
    compute_stress = property(lambda s: False)
    compute_forces = property(lambda s: True)
    memory_scales_with = property(lambda s: "n_atoms")
    def forward(self, state, **kw):
        n = len(state["cell"]) if isinstance(state, dict) else len(state.cell)
        p = state["positions"] if isinstance(state, dict) else state.positions
        return {"energy": torch.zeros(n, dtype=torch.float64), "forces": torch.zeros_like(p)}
grid = np.stack(np.meshgrid(*[np.arange(edge)] * 3, indexing="ij"), -1).reshape(-1, 3) * 3.0
n = edge**3
state = ts.SimState(
    positions=torch.tensor(np.tile(grid, (systems, 1)), dtype=torch.float64),
    masses=torch.full((n * systems,), 22.99, dtype=torch.float64),
    cell=torch.eye(3, dtype=torch.float64).repeat(systems, 1, 1) * 3.0 * edge,
    pbc=True,
    atomic_numbers=torch.full((n * systems,), 11),
    system_idx=torch.arange(systems).repeat_interleave(n),
)
integrator = getattr(ts, "Integrator", None)
integrator = integrator.nvt_langevin if integrator is not None else ts.nvt_langevin
folder = pathlib.Path(tempfile.mkdtemp())
def cpu(n, tag):
    kw = {}
    if every:
        names = [str(folder / f"{tag}{i}.h5") for i in range(systems)]
        kw["trajectory_reporter"] = ts.TrajectoryReporter(names, state_frequency=every)
    start = time.process_time()
    kw |= {"n_steps": n, "temperature": 600.0, "timestep": 0.002}
    ts.integrate(system=state.clone(), model=Null(), integrator=integrator, **kw)
    return time.process_time() - start
cpu(20, "w")
a, b = cpu(steps // 4, "a"), cpu(steps, "b")
from importlib.metadata import version
print(json.dumps({"version": version("torch-sim-atomistic"), "ms": 1e3 * (b - a) / (steps - steps // 4) / systems}))
"""


def peer(python: str, systems: int, steps: int, every: int | None) -> tuple[str, float]:
    """torch-sim in its own interpreter: its version and CPU milliseconds a system and step."""
    done = subprocess.run(
        [python, "-c", PEER, str(systems), str(ATOMS_EDGE), str(steps), str(every or 0)],
        capture_output=True,
        text=True,
        check=False,
        env={"OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )
    if done.returncode:
        sys.exit(f"the peer's interpreter failed:\n{done.stderr[-2000:]}")
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    return answer["version"], answer["ms"]


def main(argv: list[str] | None = None) -> int:
    """Run all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="8 systems, 200 steps")
    parser.add_argument(
        "--peer-python",
        default=os.environ.get("IONSIEVE_TORCH_SIM_PYTHON"),
        help="an interpreter that has torch-sim-atomistic [default: $IONSIEVE_TORCH_SIM_PYTHON; none: no such row]",
    )
    arguments = parser.parse_args(argv)
    systems, steps = (8, 200) if arguments.small else (SYSTEMS, STEPS)
    peer_steps = steps if arguments.small else 200
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, every in (("bare", None), ("a frame every 10 steps", 10)):
            mine = ours(systems, steps, every, folder / label.replace(" ", "-"))
            rows.append((f"ionsieve batch, CSVR, {label}", mine, mine))
            rows.append((f"ASE LangevinBAOAB, one system, {label}", ase(max(steps, 200), every, folder), mine))
            if arguments.peer_python:
                version, ms = peer(arguments.peer_python, systems, peer_steps, every)
                rows.append((f"torch-sim {version}, NVT Langevin, {label}", ms, mine))
    print(f"{systems} systems of {ATOMS_EDGE**3} atoms, null model, CPU time, one thread\n")
    print("| engine | ms a system and step | against ionsieve |\n|---|---|---|")
    for label, ms, mine in rows:
        print(f"| {label} | {ms:.4f} | {ms / mine:.1f} |")
    print(f"\n`python benchmarks/host_overhead.py{' --small' if arguments.small else ''}`")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
