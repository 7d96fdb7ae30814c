"""`ax run parallel`: the measurements that CORTAX_PARALLEL asks for; what `cortax bench-parallel --keep` runs."""

import os
import sys
from pathlib import Path

from cortax.errors import CortaxError, ProjectError
from cortax.workloads.bench.machine import ASKED, build_measurements


def main(urd):
    asked = os.environ.get(ASKED, "")
    if not asked:
        raise ProjectError(f"{ASKED} must name what is to be measured; `cortax bench-parallel --keep` sets it")
    try:
        build_measurements(urd, Path(asked))
    except CortaxError as error:
        print(f"cortax: {error}", file=sys.stderr)
        return 1
    return 0
