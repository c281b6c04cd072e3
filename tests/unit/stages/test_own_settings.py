"""Each question holds its own settings of transport, all of them and no others."""

import ast
from pathlib import Path

import pytest

import ionsieve.transport as room
from ionsieve.campaign import parse_campaign
from ionsieve.stages import fit, measure, simulate
from ionsieve.transport.settings import FIT, MEASURE, RUNNING_ERROR, TransportSettings

FIELDS = frozenset(TransportSettings.model_fields)
ROOM = Path(room.__file__).parent
#: modules that measure one run; all others that read settings, but the stream's, combine runs
MEASURING = {"measuring", "diffusion", "window", "integrity"}
CAMPAIGN = """
name: own
generate: {recipes: [{prototype: Na3OCl_Pm-3m}]}
potential: {name: pair-ionic, dtype: float64}
dynamics: {stop_relative_error: 0.2}
"""
#: no default of these lets itself be multiplied within its bounds
OTHER = {"polyanion_intact_min": 0.9, "jump_length_A": 2.5, "site_hysteresis": 0.7, "equilibrated_by_fraction": 0.6}


def read_in(tree):
    """Names of settings that a piece of code reads, as ``settings.name`` or ``self.settings.name``."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in FIELDS:
            owner = node.value
            if getattr(owner, "id", getattr(owner, "attr", "")) == "settings":
                found.add(node.attr)
    return found


def parsed(name):
    return ast.parse((ROOM / f"{name}.py").read_text(encoding="utf-8"))


def functions(name, wanted):
    return [node for node in parsed(name).body if isinstance(node, ast.FunctionDef) and node.name in wanted]


def keys(settings):
    campaign = parse_campaign(CAMPAIGN)
    campaign = campaign.model_copy(update={"transport": TransportSettings.model_validate(settings)})
    asked = simulate.request("a" * 64, "b" * 64, 0, campaign, family="antiperovskite", temperature_K=600.0)
    return {
        "simulate": asked.key,
        "measure": measure.request("a" * 64, "b" * 64, 0, campaign).key,
        "fit": fit.request(["a" * 64], campaign).key,
    }


def other(name):
    default = TransportSettings.model_fields[name].default
    if name in OTHER:
        return OTHER[name]
    return default + 1 if isinstance(default, int) else default * 1.1


def test_every_setting_belongs_somewhere():
    assert FIT | MEASURE | RUNNING_ERROR == FIELDS
    assert {"stop_jump_length_A"} == RUNNING_ERROR - MEASURE, "what may end a run is how the run will be measured"


def test_the_code_reads_what_its_set_holds():
    """A setting that a module begins to read must stand in the address of what the module computes."""
    combining = {path.stem for path in ROOM.glob("*.py")} - MEASURING - {"settings", "streaming", "__init__"}
    assert set().union(*(read_in(parsed(name)) for name in combining)) == FIT
    assert set().union(*(read_in(parsed(name)) for name in MEASURING)) == MEASURE
    running = functions("streaming", {"relative_error", "_fit", "_window"}) + functions("diffusion", {"judge"})
    assert len(running) == 4
    assert set().union(*map(read_in, running)) == RUNNING_ERROR


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_setting_re_addresses_what_it_changes_and_nothing_else(name):
    before, after = keys({}), keys({name: other(name)})
    changed = {stage for stage in before if before[stage] != after[stage]}
    sets = {"simulate": RUNNING_ERROR, "measure": MEASURE, "fit": FIT}
    assert changed == {stage for stage, own in sets.items() if name in own}


@pytest.mark.parametrize("name", ["assumed_Ea_eV", "phase_shape", "min_temperatures", "target_temperature_K"])
def test_another_fit_repeats_no_measurement(name):
    before, after = keys({}), keys({name: other(name)})
    assert {stage for stage in before if before[stage] != after[stage]} == {"fit"}
