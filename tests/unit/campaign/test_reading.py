"""A campaign file becomes a campaign, or every problem with its line and remedy."""

import json
import shutil
import subprocess
import sys

import pytest

from ionsieve.campaign import find_campaign, load_campaign, located, parse_campaign
from ionsieve.errors import InputError, ProblemsError
from ionsieve.generate import expand
from ionsieve.resources import data_folder

WORKFLOWS = sorted(data_folder("workflows").glob("*.yaml"))

GOOD = """
name: good
generate:
  recipes:
    - prototype: Na3OCl_Pm-3m
"""


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_every_shipped_campaign_is_valid(path):
    campaign = load_campaign(path)
    assert campaign.name
    assert parse_campaign(path.read_text(), where=str(path), default_name=path.stem) == campaign


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_a_campaign_read_back_from_its_folder_asks_the_same(path):
    # `rank`, `report` and `resume` know the frozen campaign only: a question worded otherwise would miss its answer
    asked = load_campaign(path)
    frozen = type(asked).model_validate(json.loads(json.dumps(asked.model_dump(mode="json"))))
    assert frozen == asked
    again, once = expand(frozen.generate), expand(asked.generate)
    assert [c.to_json() for c in again] == [c.to_json() for c in once]


def test_a_recipe_overrides_what_it_states_and_nothing_else():
    campaign = parse_campaign(
        "generate:\n  supercell: {max_atoms: 80}\n  recipes:\n"
        "    - {prototype: Na3OCl_Pm-3m, supercell: {min_image_A: 6}}\n"
    )
    cell = campaign.generate.supercell_of(campaign.generate.recipes[0])
    assert (cell.max_atoms, cell.min_image_A) == (80, 6.0)


def test_name_from_the_file_and_shipped_names(tmp_path):
    file = tmp_path / "my campaign!.yaml"
    file.write_text(GOOD.replace("name: good\n", ""))
    assert load_campaign(file).name == "my-campaign"
    assert find_campaign("quickstart").name == "quickstart.yaml"


def test_all_problems_at_once_with_line_and_remedy():
    text = """name: bad name
generate:
  recipies: []
  recipes:
    - prototype: Na3OCl_Pm-3m
      substitute: {Na: {Sr: -1}}
dynamics:
  dt_fs: 2 fs
  engin: ase
  engine: bach
simulate: {temperatures_K: [300, 1200 degC]}
potental: {}
"""
    with pytest.raises(ProblemsError) as caught:
        parse_campaign(text, where="x.yaml")
    found = {(p.where, p.key): p for p in caught.value.problems}
    assert set(found) == {
        ("x.yaml:1", "name"),
        ("x.yaml:3", "generate.recipies"),
        ("x.yaml:6", "generate.recipes[0].substitute.Na.Sr"),
        ("x.yaml:8", "dynamics.dt_fs"),
        ("x.yaml:9", "dynamics.engin"),
        ("x.yaml:10", "dynamics.engine"),
        ("x.yaml:11", "simulate.temperatures_K[1]"),
        ("x.yaml:12", "potental"),
    }
    assert [p.where for p in caught.value.problems] == sorted(
        (p.where for p in caught.value.problems), key=lambda w: int(w.split(":")[1])
    )
    assert found["x.yaml:3", "generate.recipies"].remedy == "did you mean 'recipes'?"
    assert found["x.yaml:12", "potental"].remedy == "did you mean 'potential'?"
    assert found["x.yaml:10", "dynamics.engine"].remedy == "did you mean 'batch'?"
    assert "write 2" in found["x.yaml:8", "dynamics.dt_fs"].remedy
    assert "1473.15 (= 1200 °C)" in found["x.yaml:11", "simulate.temperatures_K[1]"].remedy
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("- a\n- b\n", "mapping of keys"),
        ("", "mapping of keys"),
        ("name: [1\n", "not valid YAML"),
        ("name: !!python/object/apply:os.system ['true']\n" + GOOD, r"name|YAML"),
        ("name: ../../etc\n" + GOOD.replace("name: good\n", ""), "the name becomes a folder"),
        (GOOD + "simulate: {temperatures_K: [800, 800]}\n", "listed twice"),
        (GOOD + "relax: {cell_policy: npt}\n", "set dynamics.npt_ps"),
        (GOOD + "dynamics: {engine: ase, npt_ps: 5}\n", "runs no NPT"),
        (GOOD + "dynamics: {produce_ps: 0.001}\n", "shorter than a frame"),
        (GOOD + "simulate: {families: {garnet: {produce_ps: 0.001}}}\n", "family is shorter than a frame"),
        (GOOD + "transport: {target_temperature_K: 300}\nranking: {target_temperature_K: 400}\n", "write it once"),
    ],
)
def test_refused(text, match):
    with pytest.raises(InputError, match=match) as caught:
        parse_campaign(text, where="x.yaml")
    assert caught.value.exit_code == 2
    assert "x.yaml" in str(caught.value)


def test_missing_file_suggests_the_shipped_one(tmp_path):
    with pytest.raises(InputError, match="did you mean 'quickstart'") as caught:
        load_campaign("quikstart")
    assert "no such campaign file" in str(caught.value)
    with pytest.raises(InputError, match="folder"):
        load_campaign(tmp_path)


def test_temperature_of_use_is_written_once():
    campaign = parse_campaign(GOOD + "ranking: {target_temperature_K: 333}\n")
    assert campaign.transport.target_temperature_K == campaign.ranking.target_temperature_K == 333


def test_family_overrides():
    campaign = parse_campaign(
        GOOD + "dynamics: {produce_ps: 10}\nsimulate:\n  temperatures_K: [700]\n  families:\n"
        "    sulfide: {temperatures_K: [500, 600], produce_ps: 20, replicas: 3}\n"
    )
    assert campaign.simulate.temperatures_for("sulfide") == (500, 600)
    assert campaign.simulate.temperatures_for("nasicon") == (700,)
    assert campaign.simulate.replicas_for("sulfide") == 3
    assert campaign.simulate.dynamics_for("sulfide", campaign.dynamics).produce_ps == 20
    assert campaign.simulate.dynamics_for("nasicon", campaign.dynamics) == campaign.dynamics


def test_reading_a_campaign_imports_nothing_heavy():
    code = (
        "import sys; from ionsieve.campaign import load_campaign; load_campaign('quickstart');"
        "print([m for m in ('torch', 'scipy', 'pymatgen', 'ase', 'dask', 'h5py') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_problems_of_recipes_carry_file_and_line(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("name: c\ngenerate:\n  recipes:\n    - Na3PS4\n    - prototype: Na3PS4_P-421c\n"
                    "      substitute:\n        S: {Cl: 5}\n    - Na3Qq\n")  # fmt: skip
    campaign = load_campaign(file)
    with pytest.raises(ProblemsError) as caught, located(file):
        expand(campaign.generate)
    assert [p.where for p in caught.value.problems] == [f"{file}:7", f"{file}:8"]
    assert caught.value.problems[0].key == "generate.recipes[1].substitute.S.Cl"


def test_what_is_not_in_the_file_keeps_its_place(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(GOOD)
    with pytest.raises(InputError, match="no such folder") as caught, located(file):
        raise InputError("no such folder", key="--out")
    assert caught.value.problem.where == ""


def test_a_prototype_given_as_a_file_is_found_beside_the_campaign(tmp_path, monkeypatch):
    for suffix in (".cif", ".yaml"):
        shutil.copy(data_folder("structures") / f"Na3PS4_I-43m{suffix}", tmp_path / f"Mine{suffix}")
    file = tmp_path / "c.yaml"
    grid = "{grid: {prototypes: [./Mine.yaml], levels: 0.125, dopants: [Cl]}}"
    file.write_text(f"name: c\ngenerate:\n  recipes:\n    - prototype: Mine.yaml\n    - {grid}\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = expand(load_campaign(file).generate)
    assert [c.candidate_id for c in found] == ["Mine--undoped", "Mine--Cl_S-0.125"]


def test_a_number_in_quotation_marks_is_named():
    text = 'name: x\ngenerate: {recipes: [Na3OCl]}\nrelax:\n  max_steps: "50"\n  fmax_eV_per_A: 1e-2\n'
    with pytest.raises(ProblemsError) as caught:
        parse_campaign(text)
    (problem,) = caught.value.problems
    assert (problem.key, problem.remedy) == ("relax.max_steps", "a number stands without quotation marks: write 50")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("simulate: {temperatures_K: []}", "simulate.temperatures_K: the list is empty"),
        ("simulate: {temperatures_K: 800}", "simulate.temperatures_K = 800: a list was expected"),
        ("simulate: {temperatures_K: [-1]}", "expected: temperatures in K"),
        ("dynamics: [1, 2]", "dynamics: a group of keys was expected, not a list"),
        ("potential: {device: gpu}", "potential.device = 'gpu': this is not of the right form"),
    ],
)
def test_what_is_wrong_is_said_in_words_of_yaml(more, said):
    with pytest.raises(ProblemsError) as caught:
        parse_campaign(GOOD + more)
    assert said in str(caught.value)


def test_a_file_in_another_encoding_says_what_to_do(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_bytes("name: Müller".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8") as caught:
        load_campaign(file)
    assert "save it as UTF-8" in str(caught.value)


@pytest.mark.parametrize(
    ("more", "line", "key", "remedy"),
    [
        ("relax:\n  cell_policy: npt\n", 6, "relax.cell_policy", "set dynamics.npt_ps"),
        (
            "transport: {target_temperature_K: 310}\nranking: {target_temperature_K: 300}\n",
            5,
            "transport.target_temperature_K",
            "write it once",
        ),
    ],
)
def test_what_two_rooms_contradict_has_a_line_and_a_key(more, line, key, remedy):
    with pytest.raises((InputError, ProblemsError)) as caught:
        parse_campaign(GOOD.strip() + "\n" + more, where="c.yaml")
    said = str(caught.value)
    assert f"c.yaml:{line}" in said
    assert key in said
    assert remedy in said


def test_one_temperature_in_two_spellings_is_one_temperature():
    text = GOOD.strip() + "\ntransport: {target_temperature_K: 300}\nranking: {target_temperature_K: 300.0}\n"
    assert parse_campaign(text).ranking.target_temperature_K == 300.0
