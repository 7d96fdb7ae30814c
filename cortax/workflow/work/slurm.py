"""Workers that are jobs of SLURM: each runs a worker of Dask, which connects to a scheduler in this process.

Short units so share a job, a node that dies takes only the calls of its worker, and nothing asks for accounting.
submitit, tried on the SLURM of `scripts/slurm`, makes a job of each call and asks `sacct` how it ended. Without
accounting a job that had been killed, for memory or by `scancel`, was never done for it, and an array was done before
it had run.
CORTAX_SLURM_OPTIONS holds options of `sbatch` (`--partition=long --time=12:00:00`), CORTAX_SLURM_HOST the name or
address under which nodes reach this machine.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import dask
from dask_jobqueue import SLURMCluster
from distributed import Client
from distributed.security import Security

from cortax.errors import ProjectError
from cortax.workflow.work.backends import Setup
from cortax.workflow.work.dask import CONFIG, DaskBackend
from cortax.workflow.work.scratch import Scratch

__all__ = ["start"]

# What a worker's two processes take with their libraries, beside what units allocate.
_PROCESSES = 512 << 20
_TEND_SECONDS = 3.0
# So many jobs in a row that end before their worker has connected: then something is wrong with all of them.
_FALSE_STARTS = 5


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except subprocess.TimeoutExpired as error:
        raise ProjectError(f"SLURM does not answer: {shlex.join(command)} took more than 30 s") from error
    if done.returncode:
        raise ProjectError(f"SLURM does not answer: {shlex.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _security(folder: Path) -> Security:
    """Certificates that only this user can read, for whoever reaches the scheduler runs code as its user.

    Jobs read theirs from files, which go with their folder. dask-jobqueue's own would outlive it.
    """
    security = Security.temporary()
    for name in ("tls_ca_file", "tls_worker_cert", "tls_worker_key"):
        path = folder / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_text(getattr(security, name))
        setattr(security, name, str(path))
    return security


class _Slurm:
    """As many jobs as there shall be workers; one that ends is replaced."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._scratch = Scratch(setup.folder, "slurm")
        self._open()

    def _open(self) -> None:
        setup = self._setup
        self._cluster = SLURMCluster(
            cores=1,
            processes=1,
            # Without a process that looks after it: what is killed is replaced by a new job, see `_tend`.
            nanny=False,
            memory=f"{setup.memory + setup.shared + _PROCESSES}B",
            # Dask must not end what SLURM allows: the workers' own processes are limited.
            worker_extra_args=["--memory-limit", "0", "--no-dashboard"],
            # In the place of the script's shell, so that signals reach it. A worker of Dask that is told to end waits
            # for its call to end, which may take hours: so it is killed soon after.
            python=f"exec timeout --foreground --kill-after=2 0 {shlex.quote(sys.executable)}",
            job_name=self._scratch.name,
            job_extra_directives=["--no-requeue", *shlex.split(os.environ.get("CORTAX_SLURM_OPTIONS", ""))],
            job_directives_skip=["-t "],
            # Locks of files do not work on every file system that nodes share.
            job_script_prologue=["export DASK_DISTRIBUTED__WORKER__USE_FILE_LOCKING=False"],
            log_directory=str(self._scratch.path),
            local_directory=str(self._scratch.path),
            death_timeout=setup.seconds,
            security=_security(self._scratch.path),
            scheduler_options={
                "host": os.environ.get("CORTAX_SLURM_HOST") or socket.gethostname(),
                "dashboard": False,
                # Without a dashboard it still serves HTTP, at a port that another build may have.
                "dashboard_address": "127.0.0.1:0",
            },
        )
        # What Dask submits in the background fails in silence.
        script = self._scratch.path / "job.sh"
        script.write_text(self._cluster.job_script())
        try:
            _ask("sbatch", "--test-only", str(script))
        except ProjectError:
            self._cluster.close()
            self._scratch.remove()
            raise
        self._cluster.scale(jobs=setup.n_workers)
        self._dask = DaskBackend(Client(self._cluster))
        self._tended, self._met, self._false_starts = time.monotonic(), set[str](), 0

    def adapt(self, setup: Setup) -> None:
        self._shut()
        self._setup = setup
        self._open()

    def submit(self, call: Callable[..., Any], *args: Any) -> Any:
        return self._dask.submit(call, *args)

    def wait(self, handles: Sequence[Any], timeout: float) -> Any:
        found = self._dask.wait(handles, timeout)
        if time.monotonic() - self._tended > _TEND_SECONDS:
            self._tend()
            self._tended = time.monotonic()
        return found

    def _tend(self) -> None:
        """Replace jobs that have ended: dask-jobqueue itself does not notice one whose worker never connected."""
        self._met |= {str(worker["name"]) for worker in self._dask.client.scheduler_info(-1)["workers"].values()}
        try:
            queued = set(_ask("squeue", "--noheader", "--me", "--format=%A").split())
        except ProjectError:
            return  # the controller restarts, perhaps
        ended = [name for name, job in self._cluster.workers.items() if job.job_id and job.job_id not in queued]
        for name in ended:
            self._false_starts = 0 if str(name) in self._met else self._false_starts + 1
            self._cluster.worker_spec.pop(name, None)
        if self._false_starts >= _FALSE_STARTS:
            raise ProjectError(f"jobs of SLURM end before their workers begin; the last said: {self._said()}")
        # Also submits anew those that Dask itself has given up, some seconds after it lost their workers.
        self._cluster.scale(jobs=self._setup.n_workers)

    def _said(self) -> str:
        logs = sorted(self._scratch.path.glob("*.err"), key=lambda path: path.stat().st_mtime)
        text = logs[-1].read_text(errors="replace").strip() if logs else ""
        return text[-1000:] or "nothing"

    def _shut(self) -> None:
        with suppress(TimeoutError, OSError):
            self._dask.client.close()
        with suppress(TimeoutError, OSError, RuntimeError):
            self._cluster.close()

    def close(self) -> None:
        self._shut()
        self._scratch.remove()


def start(setup: Setup) -> _Slurm:
    """Submit jobs, whose workers are used as soon as SLURM starts them.

    Raises
    ------
    ProjectError
        There is no SLURM here, or it does not answer.
    """
    if shutil.which("sbatch") is None:
        raise ProjectError("backend 'slurm': there is no sbatch here; build where jobs can be submitted")
    _ask("sinfo", "--noheader")
    with dask.config.set(CONFIG):
        return _Slurm(setup)
