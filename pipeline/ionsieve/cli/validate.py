"""``ionsieve validate``: what a campaign would run, what it costs, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ionsieve.campaign import Campaign
    from ionsieve.records import Candidate

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Campaigns")
    def validate(
        campaign: Annotated[str, typer.Argument(help="Campaign file, or the name of a shipped one.")],
        timing: Annotated[
            bool, typer.Option("--timing/--no-timing", help="Time the potential here to estimate the cost.")
        ] = True,
    ) -> None:
        """Say what a campaign would run, how many atoms and steps, what it costs, and what is wrong."""
        raise typer.Exit(_validate(campaign, timing=timing))


def _validate(name: str, *, timing: bool) -> int:
    from rich.table import Table

    from ionsieve.campaign import find_campaign, load_campaign, located
    from ionsieve.cli.table import console as make_console
    from ionsieve.screening.run import check
    from ionsieve.stages.base import unknown_elements
    from ionsieve.verdicts import Outcome

    campaign = load_campaign(find_campaign(name))
    with located(name):
        candidates = check(campaign)  # what `run` would refuse shows here too
    good = [c for c in candidates if c.outcome is Outcome.COMPLETED]
    console = make_console()
    table = Table(
        title=f"{campaign.name}: {len(candidates)} candidate{'s' if len(candidates) != 1 else ''}", title_justify="left"
    )
    for header, justify in (
        ("candidate", "left"),
        ("compensation", "left"),
        ("atoms", "right"),
        ("image Å", "right"),
        ("temperatures K", "left"),
        ("runs", "right"),
        ("ps a run", "right"),
    ):
        table.add_column(header, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for c in good:
        temperatures = campaign.simulate.temperatures_for(c.family)
        table.add_row(
            f"{c.realised_formula or c.target_formula}  ({c.prototype})",
            c.compensation,
            str(c.n_atoms),
            f"{c.min_image_A:.1f}" if c.min_image_A is not None else "-",
            ", ".join(f"{t:g}" for t in temperatures),
            str(_runs(campaign, c)),
            f"{campaign.simulate.dynamics_for(c.family, campaign.dynamics).produce_ps:g}",
        )
    console.print(table)
    refused = [c for c in candidates if c.outcome is not Outcome.COMPLETED]
    for c in refused:
        console.print(f"refused  {c.target_formula} on {c.prototype}: {c.reason}", style="yellow", highlight=False)
    missing = {
        c.realised_formula or c.target_formula: ", ".join(found)
        for c in good
        if (found := unknown_elements(campaign.potential, c))
    }
    for formula, elements in missing.items():
        console.print(f"refused  {formula}: {campaign.potential.name} was not trained for {elements}", style="yellow")
    steps = sum(_runs(campaign, c) * _steps(campaign, c) for c in good)
    atom_steps = sum(_runs(campaign, c) * _steps(campaign, c) * c.n_atoms for c in good)
    runs = sum(_runs(campaign, c) for c in good)
    console.print(
        f"\n{runs} runs, {steps:,} MD steps, {atom_steps:,} atom-steps; potential {campaign.potential.name}, "
        f"policy {campaign.run.policy}",
        highlight=False,
    )
    if timing and good:
        seconds, device = _seconds_per_atom_step(campaign, round(atom_steps / max(steps, 1)))
        work = seconds * atom_steps
        amount = f"{work / 3600:.2g} {{}}-hours" if work >= 3600 else f"{work / 60:.2g} {{}}-minutes"
        console.print(
            f"about {amount.format('core' if device == 'cpu' else 'device')} of MD on {device} as just timed here "
            f"({seconds * 1e6:.0f} µs an atom and step, one system at a time); relaxation and analysis come on top",
            highlight=False,
        )
    console.print(
        "nothing is wrong with it" if not refused and not missing else f"{len(refused) + len(missing)} refused"
    )
    return 0 if good else 2


def _runs(campaign: Campaign, c: Candidate) -> int:
    plan = campaign.simulate
    return (
        campaign.generate.ordering.n_configurations * len(plan.temperatures_for(c.family)) * plan.replicas_for(c.family)
    )


def _steps(campaign: Campaign, c: Candidate) -> int:
    settings = campaign.simulate.dynamics_for(c.family, campaign.dynamics)
    dt = settings.dt_hydrogen_fs if "H" in c.composition else settings.dt_fs
    return round((settings.npt_ps + settings.equilibrate_ps + settings.produce_ps) * 1000 / dt)


def _seconds_per_atom_step(campaign: Campaign, n_atoms: int) -> tuple[float, str]:
    import time

    import torch
    from ase.build import bulk

    from ionsieve.potentials import load
    from ionsieve.systems import Batch

    torch.set_num_threads(1)
    potential = load(campaign.potential)
    repeat = max(1, round((n_atoms / 8) ** (1 / 3)))
    batch = Batch.from_atoms([bulk("NaCl", "rocksalt", a=5.6, cubic=True) * (repeat, repeat, repeat)])
    potential.evaluate(batch)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        potential.evaluate(batch)
        times.append(time.perf_counter() - start)
    return min(times) / batch.n_atoms, potential.info.device
