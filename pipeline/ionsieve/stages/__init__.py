"""One verb a file: record in, record out, thin over the rooms."""

from __future__ import annotations

from collections.abc import Mapping

from ionsieve.stages import fit, generate, measure, rank, relax, sieve, simulate
from ionsieve.stages.base import Stage as Stage
from ionsieve.stages.base import scratch_files as scratch_files

#: In the order in which a candidate passes them.
STAGES: Mapping[str, Stage] = {
    module.NAME: module.STAGE for module in (generate, sieve, relax, simulate, measure, fit, rank)
}
