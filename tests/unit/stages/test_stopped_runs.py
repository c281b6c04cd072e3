"""A stop reaches dynamics at its next guard point, a relaxation after its step, and nothing of it is lost."""

import signal

from ionsieve.campaign import parse_campaign
from ionsieve.dynamics import fire
from ionsieve.dynamics.book import Book
from ionsieve.dynamics.checkpoint import read_head
from ionsieve.records import RelaxedConfiguration
from ionsieve.screening import resume_campaign, run_campaign
from ionsieve.store import Store

CAMPAIGN = """
name: stopped
generate:
  ordering: {n_configurations: 1}
  supercell: {matrix: [2, 2, 2], min_image_A: 4, max_atoms: 60}
  recipes: [{prototype: Na3OCl_Pm-3m}]
potential: {name: pair-ionic, dtype: float64}
sieve: {min_percolation_radius_A: null}
relax: {cell_policy: published, fmax_eV_per_A: 0.1, max_steps: 20}
dynamics: {equilibrate_ps: 0.1, produce_ps: 0.6, frame_interval_fs: 20, guard_steps: 25}
simulate: {temperatures_K: [600]}
"""


def test_a_signal_ends_dynamics_in_this_process_with_all_saved(tmp_path, monkeypatch):
    opened = Book.open

    def opened_and_signalled(book):
        opened(book)
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Book, "open", opened_and_signalled)
        report = run_campaign(parse_campaign(CAMPAIGN), tmp_path / "run", n_workers=0, progress="quiet")
    assert (report.status, report.signal, report.exit_code) == ("interrupted", "SIGTERM", 130)
    store = Store.open(tmp_path / "run")
    assert not list(store.folder.glob("records/simulate/*/*.json"))
    assert list(store.folder.glob("scratch/*/checkpoint*")), "the work so far is saved"
    assert resume_campaign(tmp_path / "run", n_workers=0, progress="quiet").exit_code == 0
    assert list(store.folder.glob("records/simulate/*/*.json"))


def test_a_signal_pauses_a_relaxation_which_ends_where_it_would_have(tmp_path, monkeypatch):
    campaign = parse_campaign(CAMPAIGN.replace("published", "relaxed").replace("max_steps: 20", "max_steps: 12"))
    advance, steps = fire._advance, iter(range(100))

    def signalled(*arguments):
        advance(*arguments)
        if next(steps) == 3:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(fire, "_advance", signalled)
        assert run_campaign(campaign, tmp_path / "run", n_workers=0, progress="quiet").signal == "SIGTERM"
    store = Store.open(tmp_path / "run")
    (kept,) = store.folder.glob("scratch/*/relaxation.npz")
    assert read_head(kept)["step"] == 4
    assert resume_campaign(tmp_path / "run", n_workers=0, progress="quiet").exit_code == 0
    assert not kept.exists()
    run_campaign(campaign, tmp_path / "calm", n_workers=0, progress="quiet")
    ends = [
        [(key, record.model_copy(update={"seconds": 0.0})) for key, record in s.records("relax", RelaxedConfiguration)]
        for s in (store, Store.open(tmp_path / "calm"))
    ]
    assert ends[0] == ends[1]
    assert ends[0][0][1].steps > 4
