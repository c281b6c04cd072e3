"""Run the null campaign of a folder: ``python null_runner.py FOLDER WORKERS [slice_s]``. A process to be killed."""

import sys
from pathlib import Path

from ionsieve.errors import IonsieveError
from ionsieve.screening.clusters import open_pool
from ionsieve.screening.pool import SerialPool
from ionsieve.screening.retries import RunRules
from ionsieve.screening.run import run_plan
from ionsieve.store import Store
from ionsieve.testing.null_campaign import NullBuilders, null_subjects

STAGES = "ionsieve.testing.null_campaign:STAGES"


def main() -> int:
    folder, workers = Path(sys.argv[1]), int(sys.argv[2])
    slice_s = float(sys.argv[3]) if len(sys.argv) > 3 else 0.2
    store = Store.open(folder)
    campaign = store.campaign
    try:
        report = run_plan(
            store,
            null_subjects(campaign),
            NullBuilders(campaign),
            pool=lambda: open_pool(folder, STAGES, n_workers=workers) if workers else SerialPool(folder, STAGES),
            stages=STAGES,
            rules=RunRules(slice_s=slice_s),
            progress="plain",
        )
    except IonsieveError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(report.status, file=sys.stderr)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
