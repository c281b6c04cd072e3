"""A stop reaches dynamics at its next guard point, and nothing of it is lost."""

import signal

from ionsieve.campaign import parse_campaign
from ionsieve.dynamics.book import Book
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
