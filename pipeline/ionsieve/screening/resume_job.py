"""``python -m ionsieve.screening.resume_job FOLDER PROFILE``: what the submitted job runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ionsieve.errors import IonsieveError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Resume the campaign of a folder on a cluster; return its exit code."""
    from ionsieve.screening.run import resume_campaign

    folder, profile = sys.argv[1:3] if argv is None else argv
    try:
        return resume_campaign(folder, cluster=profile, progress="plain").exit_code
    except IonsieveError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
