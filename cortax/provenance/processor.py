"""Which kind of processor made a job: the last bits of a number may hang on it.

BLAS picks its kernels, numpy its loops and numba its machine code by the processor. It is noted in every job's record
and is in no key: a workdir that several machines share would be computed once for each kind otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import threadpoolctl

__all__ = ["differences", "processor"]

_NUMPY = ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath")  # numpy 2 and 1


def processor() -> dict[str, str]:
    """Return the kernels of BLAS, the instructions that numpy uses, and the processor that numba compiles for.

    Only of libraries that this process has loaded.
    """
    found = {}
    kernels = {str(pool["architecture"]) for pool in threadpoolctl.threadpool_info() if pool.get("architecture")}
    if kernels:
        found["BLAS"] = " ".join(sorted(kernels))
    numpy = next((sys.modules[name] for name in _NUMPY if name in sys.modules), None)
    if numpy is not None:
        features = numpy.__cpu_features__
        used = [name for name in (*numpy.__cpu_baseline__, *numpy.__cpu_dispatch__) if features.get(name)]
        found["numpy"] = " ".join(dict.fromkeys(used))
    if llvmlite := sys.modules.get("llvmlite.binding"):
        found["numba"] = str(llvmlite.get_host_cpu_name())
    return found


def differences(made_on: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, list[str]]]:
    """Return for each library of which jobs were made on several kinds: for each kind the names of its jobs.

    `made_on`: for each job its `processor`. A library that a job did not load tells nothing of it.
    """
    kinds: dict[str, dict[str, list[str]]] = {}
    for job, found in made_on.items():
        for library, kind in found.items():
            kinds.setdefault(library, {}).setdefault(kind, []).append(job)
    return {library: jobs for library, jobs in kinds.items() if len(jobs) > 1}
