"""What the room is told. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from ionsieve.records.base import Frozen

__all__ = ["DistillSettings"]


class DistillSettings(Frozen):
    """Size of the student, its training, and the bounds it must keep to be used."""

    seed: int = Field(
        default=0, ge=0, description="Of the initial weights, the order of the frames and the held-out runs."
    )

    n_train: int = Field(default=160, ge=8, description="Frames to learn from, spread over runs and temperatures.")
    n_test: int = Field(default=40, ge=4, description="Frames held out: the last part of each run, after a gap.")
    gap_fraction: float = Field(
        default=0.05,
        ge=0,
        lt=0.5,
        description="Part of each run left out between training and test, so that they are strangers.",
    )
    test_fraction: float = Field(
        default=0.2, gt=0, lt=0.9, description="Part of each run, at its end, that is held out."
    )
    perturbation_A: float = Field(
        default=0.03,
        ge=0,
        description="Standard deviation of random displacements added to every third training frame, Å: the student "
        "also learns what pulls back when it errs.",
    )

    cutoff_A: float = Field(default=5.0, gt=1, le=8, description="Radius of a message, Å; two layers see twice as far.")
    channels: int = Field(default=16, ge=4, le=256, description="Channels of the hidden features.")
    max_L: int = Field(default=0, ge=0, le=2, description="Order of the messages passed between layers: 0 is fastest.")
    max_ell: int = Field(default=2, ge=1, le=3, description="Order of the spherical harmonics of an edge.")
    correlation: int = Field(default=2, ge=1, le=3, description="Body order of a product, less one.")
    layers: int = Field(default=2, ge=1, le=3, description="Message-passing layers.")

    epochs: int = Field(default=60, ge=1, description="Passes over the training frames.")
    batch_frames: int = Field(default=4, ge=1, description="Frames a gradient step.")
    learning_rate: float = Field(default=0.01, gt=0, description="Of AMSGrad; falls to a hundredth along a cosine.")
    energy_weight: float = Field(
        default=1.0, ge=0, description="Weight of the squared error of the energy per atom, (eV/atom)²."
    )
    forces_weight: float = Field(
        default=100.0, gt=0, description="Weight of the squared error of a force component, (eV/Å)²."
    )
    budget_s: float | None = Field(
        default=None, gt=0, description="CPU seconds after which training stops at the best weights."
    )

    max_force_error: float = Field(
        default=0.25,
        gt=0,
        description="Root-mean-square force error on the held-out frames over the root-mean-square force. A quarter "
        "keeps the student's error below what the forces themselves fluctuate by; the runs decide about the rest.",
    )
    max_energy_error_meV_per_atom: float = Field(
        default=5.0, gt=0, description="Root-mean-square error of the energy per atom, its mean over each run removed."
    )
    max_rdf_distance: float = Field(
        default=0.08,
        gt=0,
        description="Largest distance between partial radial distribution functions: half the integral of |g - g'| r² "
        "over that of g r², up to 6 Å: the share of neighbours at another distance.",
    )
    max_log10_D_error: float = Field(
        default=0.4,
        gt=0,
        description="Largest standard error of log10(D student / D teacher) with which comparing D counts as a test.",
    )
