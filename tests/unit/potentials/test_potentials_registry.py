"""From a name to a potential: what is refused, with which words, and what loading never does."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ionsieve.errors import InputError, SetupError
from ionsieve.potentials import PairSettings, Potential, PotentialSettings, catalogue, digest, load
from ionsieve.potentials.ase_door import AsePotential
from ionsieve.potentials.pair import _IONS
from ionsieve.stages.base import potential_preimage
from ionsieve.store import canonical_json
from ionsieve.testing.tiny_mace import write_tiny_mace


class _Bomb:
    """Pickles to something that leaves a mark when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.mark),))


@pytest.fixture
def bomb(tmp_path: Path) -> tuple[Path, Path]:
    file, mark = tmp_path / "some.model", tmp_path / "it ran"
    file.write_bytes(pickle.dumps(_Bomb(mark)))
    return file, mark


@pytest.mark.parametrize("family", ["mace", "chgnet"])
def test_an_unknown_file_is_refused_before_any_of_its_code_runs(bomb: tuple[Path, Path], family: str) -> None:
    file, mark = bomb
    with pytest.raises(SetupError, match="run code") as error:
        load(PotentialSettings(name=family, path=str(file)))
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    assert found in error.value.problem.remedy
    assert not mark.exists()


def test_a_pinned_digest_admits_that_file_and_no_other(bomb: tuple[Path, Path]) -> None:
    file, mark = bomb
    with pytest.raises(SetupError, match="not the one") as error:
        load(PotentialSettings(name="mace", path=str(file), sha256="0" * 64))
    assert error.value.problem.found == digest(file)
    assert not mark.exists()


def test_a_known_digest_is_trusted_under_any_path(tmp_path: Path) -> None:
    card = next(card for card in catalogue() if card.name == "chgnet-r2scan")
    assert card.path is not None
    copy = tmp_path / "renamed.tar"
    copy.write_bytes(card.path.read_bytes())
    potential = load(PotentialSettings(name="chgnet", path=str(copy)))
    assert potential.info.name == "chgnet-r2scan"
    assert potential.info.sha256 == card.sha256
    assert 70 not in potential.info.elements


def test_a_changed_file_has_a_changed_digest(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_bytes(b"one")
    first = digest(file)
    file.write_bytes(b"other")
    assert digest(file) != first == hashlib.sha256(b"one").hexdigest()


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="not there") as error:
        load(PotentialSettings(name="mace", path=str(tmp_path / "gone.model")))
    assert error.value.problem.found.endswith("gone.model")


def test_a_foundation_model_that_was_never_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SetupError, match="not there") as error:
        load(PotentialSettings(name="mace-mpa-0-medium"))
    assert "download: true" in error.value.problem.remedy


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A real server on this machine: its address and the folder that it serves."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http_server.server_port}", folder
        http_server.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_download_lands_in_the_cache_and_still_needs_trust(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ionsieve.potentials.mace import import_mace

    import_mace()
    from mace.calculators import foundations_models

    address, folder = server
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = Path(foundations_models.mace_mp_urls["medium-mpa-0"]).name
    monkeypatch.setitem(foundations_models.mace_mp_urls, "medium-mpa-0", f"{address}/{name}")
    settings = PotentialSettings(name="mace-mpa-0-medium", download=True)
    with pytest.raises(SetupError, match="could not be downloaded"):
        load(settings)
    (folder / name).write_bytes(b"weights of a model")
    with pytest.raises(SetupError, match="run code"):
        load(settings)
    card = next(card for card in catalogue() if card.name == "mace-mpa-0-medium")
    assert card.present
    assert card.path is not None
    assert card.path.read_bytes() == b"weights of a model"


def test_the_nearest_name_is_suggested() -> None:
    with pytest.raises(InputError) as error:
        load(PotentialSettings(name="chgnet-r2scn"))
    assert "chgnet-r2scan" in error.value.problem.remedy


def test_a_family_without_a_path() -> None:
    with pytest.raises(InputError, match="needs the path"):
        load(PotentialSettings(name="mace"))


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(SetupError, match="not there"):
        load(PotentialSettings(name="pair-lj", device="cuda:97"))


def test_one_instance_for_equal_settings() -> None:
    assert load(PotentialSettings(name="pair-lj")) is load(PotentialSettings(name="pair-lj", device="cpu"))
    assert load(PotentialSettings(name="pair-lj")) is not load(PotentialSettings(name="pair-ionic"))


@pytest.mark.parametrize("wrong", [{"dtype": "float16"}, {"device": "gpu"}, {"nmae": "x"}, {"sha256": "abc"}])
def test_settings_refuse_what_they_do_not_know(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        PotentialSettings.model_validate(wrong)


def test_a_switch_wider_than_the_cutoff_is_refused() -> None:
    with pytest.raises(ValidationError, match="smaller than cutoff_A"):
        PairSettings(cutoff_A=3.0, switch_A=3.0)


def test_the_catalogue_is_consistent() -> None:
    cards = catalogue()
    assert len({card.name for card in cards}) == len(cards)
    for card in cards:
        if card.present and card.path is not None and card.sha256 is not None:
            assert digest(card.path) == card.sha256, card.name
    ions = next(card for card in cards if card.name == "pair-ionic")
    assert ions.elements == frozenset(_IONS)


def test_listing_imports_neither_torch_nor_ase() -> None:
    code = (
        "import sys; from ionsieve.potentials import catalogue, PotentialSettings; PotentialSettings(); catalogue();"
        "print(sorted({'torch','ase','scipy','pymatgen','mace','chgnet'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_door.py").write_text(
        "from ase.calculators.lj import LennardJones\n"
        "def factory():\n    return LennardJones(sigma=2.2, epsilon=0.01, rc=5.0, smooth=True)\n"
        "def nonsense():\n    return 3\n"
        "def failing():\n    raise FileNotFoundError('weights.pt')\n"
        "def symbols():\n    made = factory()\n    made.elements = ['Li', 'Cl']\n    return made\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return "my_door"


def test_the_ase_door_wants_trust_then_opens(module: str) -> None:
    with pytest.raises(SetupError, match="not trusted"):
        load(PotentialSettings(name=f"ase:{module}:factory"))
    potential = load(PotentialSettings(name=f"ase:{module}:factory", trust=True))
    assert isinstance(potential, AsePotential)
    assert isinstance(potential, Potential)
    assert load(PotentialSettings(name=f"ase:{module}:symbols", trust=True)).info.elements == {3, 17}


def test_a_factory_is_addressed_by_its_content(module: str, tmp_path: Path) -> None:
    """Another source, another model file or another version is another question; nothing is run to find out."""
    weights, source = tmp_path / "weights.bin", tmp_path / "my_door.py"
    sys.modules.pop(module, None)
    weights.write_bytes(b"1")
    settings = PotentialSettings(name=f"ase:{module}:factory", trust=True, path=str(weights))
    first = potential_preimage(settings)
    assert potential_preimage(settings) == first
    assert "ase" in first["ase"]["versions"]  # the source imports it
    assert module not in sys.modules
    digest = load(settings).info.sha256
    weights.write_bytes(b"22")
    second = potential_preimage(settings)
    source.write_text(source.read_text() + "# another line\n")
    third = potential_preimage(settings)
    assert len({canonical_json(p) for p in (first, second, third)}) == 3
    assert AsePotential.from_settings(settings).info.sha256 != digest
    with pytest.raises(SetupError, match="not trusted"):
        potential_preimage(settings.model_copy(update={"trust": False}))
    weights.unlink()
    with pytest.raises(SetupError, match="model file is not there"):
        potential_preimage(settings)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("ase:my_door", InputError),
        ("ase:my_door:absent", SetupError),
        ("ase:no_such_module:factory", SetupError),
        ("ase:my_door:nonsense", SetupError),
        ("ase:my_door:failing", SetupError),
    ],
)
def test_the_ase_door_refuses_what_is_no_calculator(module: str, name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        load(PotentialSettings(name=name, trust=True))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "chgnet-0.3.0", "head": "PBE"}, "has no heads"),
        ({"name": "pair-ionic", "head": "PBE"}, "has no heads"),
        ({"name": "pair-ionic", "path": "weights.pth"}, "has no file"),
        ({"name": "pair-lj", "committee": ("a", "b")}, "has no file"),
        ({"name": "mace"}, "needs the path of a model file"),
        ({"name": "maec"}, "did you mean 'mace"),
        ({"name": "chgnet-9"}, "did you mean 'chgnet-0.3.0'"),  # rather than chgnet, which wants a path
    ],
)
def test_settings_that_contradict_the_model_are_refused_at_both_doors(settings: dict[str, Any], words: str) -> None:
    for door in (load, potential_preimage):
        with pytest.raises(InputError, match=words):
            door(PotentialSettings(**settings))


def test_a_missing_package_is_named_before_its_file() -> None:
    if find_spec("sevenn") is not None:
        pytest.skip("sevenn is here")
    for door in (load, potential_preimage):
        with pytest.raises(SetupError, match="needs the package 'sevenn'"):
            door(PotentialSettings(name="7net-0"))


@pytest.mark.parametrize("family", ["mace", "chgnet"])
def test_a_trusted_file_that_is_no_model_is_one_error(tmp_path: Path, family: str) -> None:
    path = tmp_path / "junk.model"
    path.write_bytes(b"junk")
    with pytest.raises(SetupError, match="cannot be loaded as a") as error:
        load(PotentialSettings(name=family, path=str(path), trust=True))
    assert str(path) in str(error.value)


def test_a_pinned_digest_speaks_of_the_first_of_a_committee(tmp_path: Path) -> None:
    files = [write_tiny_mace(tmp_path / f"{k}.model", numbers=(3, 17), seed=k) for k in range(2)]
    settings = PotentialSettings(
        name="mace", path=str(files[0]), committee=(str(files[1]),), sha256=digest(files[0]), trust=True
    )
    assert potential_preimage(settings)["sha256"] == [digest(f) for f in files]
    assert load(settings).info.members == 2
