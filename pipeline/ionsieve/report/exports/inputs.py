"""Inputs for other codes: a DFT check of the winners (VASP, Quantum ESPRESSO) and longer dynamics (LAMMPS)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ionsieve.report.exports.select import Chosen, stem
from ionsieve.report.exports.structures import with_structures
from ionsieve.report.source import CampaignResults
from ionsieve.store.folder import write_file

__all__ = ["write_lammps", "write_qe", "write_vasp"]


def write_vasp(results: CampaignResults, chosen: Sequence[Chosen], path: Path) -> list[Path]:
    """Write INCAR, KPOINTS, POSCAR and ``POTCAR.spec`` of pymatgen's `MPRelaxSet`, one folder a candidate.

    The POTCAR itself is licensed: ``POTCAR.spec`` names the files to join.
    """
    from pymatgen.io.vasp.sets import MPRelaxSet

    del results
    written = []
    for one, crystal in with_structures(chosen):
        structure = crystal.to_pymatgen()
        structure.remove_oxidation_states()
        folder = path / stem(one)
        folder.mkdir(parents=True, exist_ok=True)
        MPRelaxSet(structure.get_sorted_structure(), user_incar_settings={"ISIF": 3}).write_input(
            folder, potcar_spec=True
        )
        written.append(folder)
    return written


def write_qe(results: CampaignResults, chosen: Sequence[Chosen], path: Path) -> list[Path]:
    """Write ``pw.in`` (vc-relax, PBE, 60/480 Ry, k-points every 0.25 1/Å), one folder a candidate.

    Pseudopotentials are named ``Na.upf`` and so on: put those of one library (for example SSSP) into ``pseudo_dir``.
    """
    from ase.io import write

    del results
    written = []
    for one, crystal in with_structures(chosen):
        atoms = crystal.to_ase()
        folder = path / stem(one)
        folder.mkdir(parents=True, exist_ok=True)
        data = {
            "control": {
                "calculation": "vc-relax",
                "prefix": "candidate",
                "pseudo_dir": "./pseudo",
                "outdir": "./out",
                "forc_conv_thr": 1e-3,
                "etot_conv_thr": 1e-4,
            },
            "system": {"ecutwfc": 60, "ecutrho": 480, "occupations": "smearing", "smearing": "cold", "degauss": 0.01},
            "electrons": {"conv_thr": 1e-8, "mixing_beta": 0.4},
        }
        write(
            folder / "pw.in",
            atoms,
            format="espresso-in",
            input_data=data,
            pseudopotentials={s: f"{s}.upf" for s in sorted(set(crystal.symbols))},
            kspacing=0.25 / (2 * 3.141592653589793),
        )
        written.append(folder)
    return written


_LAMMPS = """# {formula}  ({candidate})  {told} structure, by ionsieve campaign {campaign}
# longer NVT dynamics of a winner; potential of the campaign: {potential}  SHA-256 {sha256}
units           metal
atom_style      atomic
boundary        p p p
read_data       structure.data

# MODEL is the potential exported for the ML-IAP interface of LAMMPS; for MACE:
#   mace_create_lammps_model MODEL.model --format=mliap
variable        MODEL index model-mliap_lammps.pt
pair_style      mliap unified ${{MODEL}} 0
pair_coeff      * * {elements}

variable        T index {temperature:g}
timestep        0.002
velocity        all create ${{T}} {seed} mom yes rot no dist gaussian
group           mobile type {mobile_type}
group           framework subtract all mobile
fix             thermostat all nvt temp ${{T}} ${{T}} 0.1
thermo          100
thermo_style    custom step temp pe etotal press
run             10000
reset_timestep  0
compute         msd mobile msd com no
fix             msd all ave/time 1 1 100 c_msd[4] file msd.dat
dump            positions all custom 100 trajectory.lammpstrj id type element xu yu zu
dump_modify     positions element {elements} sort id
run             500000
"""


def write_lammps(results: CampaignResults, chosen: Sequence[Chosen], path: Path) -> list[Path]:
    """Write ``structure.data`` and ``in.lammps`` (1 ns NVT, unwrapped positions, MSD), one folder a candidate.

    The lowest temperature that was simulated is taken. Types follow the alphabet of the elements, as the file says.
    """
    from ase.io import write

    written = []
    for one, crystal in with_structures(chosen):
        atoms = crystal.to_ase()
        elements = sorted(set(crystal.symbols))
        folder = path / stem(one)
        folder.mkdir(parents=True, exist_ok=True)
        write(
            folder / "structure.data",
            atoms,
            format="lammps-data",
            specorder=elements,
            masses=True,
            units="metal",
            atom_style="atomic",
        )
        temperatures = [m.temperature_K for m in results.measurements_of(one.candidate.candidate_id)]
        text = _LAMMPS.format(
            formula=one.row.formula,
            candidate=one.candidate.candidate_id,
            told="relaxed" if one.relaxed else "generated",
            campaign=results.name,
            potential=results.potential.name if results.potential else "unknown",
            sha256=results.potential.sha256 if results.potential else "unknown",
            elements=" ".join(elements),
            temperature=min(temperatures, default=results.ranking.target_temperature_K),
            seed=4711,
            mobile_type=elements.index(one.candidate.mobile_ion) + 1 if one.candidate.mobile_ion in elements else 1,
        )
        write_file(folder / "in.lammps", text)
        written.append(folder)
    return written
