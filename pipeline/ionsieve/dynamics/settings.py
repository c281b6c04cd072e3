"""What the room is told: how to relax and how to run."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ionsieve.records.base import Frozen

__all__ = ["DynamicsSettings", "GuardSettings", "RelaxSettings"]

CellPolicy = Literal["relaxed", "published", "npt"]
Integrator = Literal["csvr", "nose_hoover", "baoab", "nve"]
Barostat = Literal["crescale", "crescale_anisotropic"]


class RelaxSettings(Frozen):
    """Relaxation of a configuration to the minimum of the potential."""

    cell_policy: CellPolicy = Field(
        default="relaxed",
        description="Cell of the production run: `relaxed` by the potential; `published`, the prototype's cell scaled "
        "to the doping, positions only; `npt`, the average of a short NPT run at temperature. Diffusion follows "
        "the volume, so the policy stands beside every D.",
    )
    fmax_eV_per_A: float = Field(
        default=0.05, gt=0, description="Largest force left on any atom; MD starts well below thermal forces with this."
    )
    max_stress_GPa: float = Field(
        default=0.2,
        gt=0,
        description="Largest stress component left when the cell relaxes; 0.2 GPa is 0.2 % of volume.",
    )
    max_steps: int = Field(default=500, ge=1, description="Relaxation steps before it is flagged as not converged.")
    max_volume_change_percent: float = Field(
        default=25.0, gt=0, description="Change of volume beyond which the cell counts as collapsed, and no MD is run."
    )
    flag_volume_change_percent: float = Field(
        default=5.0, gt=0, description="Change of volume beyond which the flag large_volume is set."
    )
    engine: Literal["batch", "ase"] = Field(
        default="batch", description="`batch`: FIRE on many cells at once; `ase`: ASE's FIRE with FrechetCellFilter."
    )
    batch_atoms: int = Field(default=4096, ge=1, description="Atoms that are relaxed together, at most.")
    keep_symmetry: bool = Field(
        default=False, description="Scale the cell isotropically only, so that its shape stays that of the prototype."
    )


class GuardSettings(Frozen):
    """Bounds beyond which a run is no longer physics of the candidate. Checked at every guard point, per system."""

    max_temperature_factor: float = Field(
        default=3.0,
        gt=1,
        description="Kinetic temperature against the target, six standard deviations of its canonical fluctuation on "
        "top (0.8 for 40 atoms): no fluctuation, and no start at twice the temperature, passes it.",
    )
    max_force_eV_per_A: float = Field(
        default=60.0, gt=0, description="Largest force on an atom. Thermal forces at 1500 K stay below 20 eV/Å."
    )
    max_force_disagreement_eV_per_A: float = Field(
        default=2.0,
        gt=0,
        description="Largest disagreement of a committee about the force on an atom (standard deviation over members); "
        "active learning calls 0.2 to 0.4 eV/Å new ground, 2 eV/Å is no longer a prediction. Committees only.",
    )
    min_distance_A: float = Field(
        default=0.5,
        ge=0,
        description="Closest approach of two atoms; H2 has 0.74 Å, so 0.5 Å is never a bond. 0 disables.",
    )
    max_framework_rms_A: float = Field(
        default=2.5,
        gt=0,
        description="Root-mean-square displacement of the framework against the start of production, drift removed; "
        "a crystal vibrates by 0.1 to 0.5 Å, turning polyanions reach 1.5 Å, a melt passes 2.5 Å.",
    )
    max_bond_stretch: float = Field(
        default=1.6,
        gt=1,
        description="Length of a polyanion's bond against its start, beyond which it counts as broken.",
    )
    broken_bond_checks: int = Field(
        default=3, ge=1, description="Guard points in a row at which a bond must be broken: a vibration is no reaction."
    )
    max_volume_change_percent: float = Field(
        default=40.0, gt=0, description="Change of the cell's volume under a barostat against its start."
    )


class DynamicsSettings(Frozen):
    """Molecular dynamics of one run."""

    engine: Literal["batch", "ase"] = Field(
        default="batch", description="`batch`: many systems in one forward pass; `ase`: one by one, the reference."
    )
    integrator: Integrator = Field(
        default="csvr",
        description="Thermostat of equilibration and production. CSVR and Nose-Hoover chains act on the total kinetic "
        "energy and leave diffusion alone; Langevin (baoab) slows it when friction is strong; nve has no "
        "thermostat.",
    )
    dt_fs: float = Field(default=2.0, gt=0, le=5, description="Time step without hydrogen.")
    dt_hydrogen_fs: float = Field(
        default=1.0, gt=0, le=2, description="Time step where hydrogen is present: an O-H stretch has a period of 9 fs."
    )
    equilibrate_ps: float = Field(
        default=5.0, ge=0, description="Thermalisation before production; frames are not kept."
    )
    produce_ps: float = Field(default=50.0, gt=0, description="Production, from which everything is measured.")
    frame_interval_fs: float = Field(
        default=20.0,
        gt=0,
        description="Time between stored frames; an ion's attempt takes 100 to 300 fs, so 20 fs resolves jumps.",
    )
    sample_interval_fs: float | None = Field(
        default=None,
        gt=0,
        description="Time between samples of the running MSD, finer than the stored frames: a screening run may then "
        "store few frames. None: no running MSD, or the stored frames where `stop_relative_error` needs one.",
    )
    stop_relative_error: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Relative standard error of the tracer diffusivity at which a run ends early and makes room for "
        "a waiting one; 0.2 is enough for most rankings. None: every run goes to its end.",
    )
    stop_after_ps: float = Field(
        default=10.0, gt=0, description="Production before which no run ends early, however large its diffusivity."
    )
    tau_fs: float = Field(
        default=200.0, gt=0, description="Time constant of CSVR and Nose-Hoover: twice a vibration, far below a jump."
    )
    friction_per_ps: float = Field(
        default=0.5, gt=0, description="Friction of Langevin (baoab): weak against vibration (10 per ps)."
    )
    chain_length: int = Field(default=3, ge=1, le=10, description="Thermostats in a Nose-Hoover chain.")
    start_kinetic_factor: float = Field(
        default=2.0,
        gt=0,
        description="Kinetic temperature at the first step against the target: a relaxed crystal gives half of its "
        "kinetic energy to its potential energy within some vibrations, so 2 arrives at the target.",
    )
    npt_ps: float = Field(
        default=0.0,
        ge=0,
        description="NPT run before equilibration; the mean cell of its second half is kept. Goes with "
        "cell policy `npt`.",
    )
    barostat: Barostat = Field(
        default="crescale", description="Stochastic cell rescaling: isotropic, or all cell vectors (anisotropic)."
    )
    pressure_GPa: float = Field(default=0.0, description="Target pressure of the NPT run.")
    barostat_tau_fs: float = Field(default=1000.0, gt=0, description="Time constant of the barostat.")
    compressibility_per_GPa: float = Field(
        default=0.025,
        gt=0,
        description="Isothermal compressibility: 1/40 GPa, between sulfides (20) and oxides (100 GPa).",
    )
    guard_steps: int = Field(
        default=50, ge=1, description="Steps between guard points (also where deadlines are seen)."
    )
    slice_steps: int = Field(
        default=1000, ge=1, description="Steps between checkpoints, at most; a kill repeats at most one slice."
    )
    slice_s: float = Field(default=30.0, gt=0, description="Seconds after which a slice ends at the next guard point.")
    batch_atoms: int = Field(
        default=8192,
        ge=1,
        description="Atoms in one forward pass, at most, where no memory model of the device is known.",
    )
    batch_atoms_cpu: int = Field(
        default=512,
        ge=1,
        description="The same on a CPU, where a batch saves nothing and many small ones answer sooner.",
    )
    compression: Literal["none", "gzip"] = Field(
        default="none", description="Compression of the trajectory file: gzip saves a fifth and costs time."
    )
    guards: GuardSettings = Field(default=GuardSettings(), description="Bounds at which a run ends.")

    @model_validator(mode="after")
    def _whole_steps(self) -> Self:
        for interval in ("frame_interval_fs", "sample_interval_fs"):
            for name in ("dt_fs", "dt_hydrogen_fs"):
                length, dt = getattr(self, interval), getattr(self, name)
                if length is not None and (abs(length / dt - round(length / dt)) > 1e-9 or round(length / dt) < 1):
                    raise ValueError(f"{interval} = {length} is no multiple of {name} = {dt}")
        return self

    @model_validator(mode="after")
    def _can_run(self) -> Self:
        if self.engine == "ase" and self.npt_ps > 0:
            raise ValueError(f"npt_ps = {self.npt_ps:g} needs engine = batch: the ase engine runs no NPT")
        if 1000.0 * self.produce_ps < self.frame_interval_fs:
            raise ValueError(
                f"produce_ps = {self.produce_ps:g} is shorter than a frame ({self.frame_interval_fs:g} fs)"
            )
        return self
