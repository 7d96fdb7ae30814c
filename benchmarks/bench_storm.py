"""A build under a storm: everything is killed again and again, the disk is full once; is it the same in the end?

    python benchmarks/bench_storm.py [--quick] [--every SECONDS] [--backend NAME] [--seed N] [--log FILE]

Builds a study of 2,025 cells (300 SIMULATED subjects, 15 random parcellations, 3 pipelines, 9 targets, 5 folds) once
undisturbed. Then all that was made is removed, and it is built again while every few seconds a process of the project,
of a kind drawn at random, gets a `kill -9`; once the disk is full until the build has failed. Whenever `cortax build`
ends without success it is started again. In the end every result is compared byte by byte with the undisturbed one's,
what was computed twice is counted, and what is left behind is looked for. Exits with 1 if a byte differs or anything
is left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))

from _storm_kills import KINDS, Disk, by_kind, kill, processes
from _storm_study import compare, results_of, study
from conftest import Project

from cortax.brain.data.simulate import simulate

# The disk is full once so many of the jobs are done.
FULL_AT = 0.4
MADE = ("results", "urd.db", ".cortax/running", ".cortax/manifests", ".cortax/failures", ".cortax/quarantine")


@dataclass
class Tale:
    """What happened in a storm."""

    kills: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    full: int = 0
    seconds: float = 0.0


def start(project: Project, log: IO[bytes], env: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from cortax.cli import main; main()", "build", "storm"]
    return subprocess.Popen(command, cwd=project.root, env=env, stdout=log, stderr=log, start_new_session=True)


def undisturbed(project: Project, log: IO[bytes], env: dict[str, str]) -> float:
    started = time.monotonic()
    if start(project, log, env).wait():
        raise SystemExit(f"the undisturbed build failed: see {log.name}")
    return time.monotonic() - started


def clear(project: Project) -> None:
    """Remove all that a build made; not what it was made of, nor machine code, which is the code's."""
    project.cortax("down")
    for job in (project.root / "workdirs/main").glob("*"):
        shutil.rmtree(job) if job.is_dir() and not job.is_symlink() else job.unlink()
    for name in MADE:
        shutil.rmtree(project.root / name, ignore_errors=True)


class Storm:
    """Kills one process after the other while a build goes on, and fills the disk once."""

    def __init__(self, project: Project, disk: Disk, log: IO[bytes], env: dict[str, str]) -> None:
        self._project, self._disk, self._log, self._env = project, disk, log, env
        self.tale = Tale()

    def rage(self, seed: int, every: float, n_jobs: int, limit: float) -> Tale:
        """Go on until a build has succeeded."""
        rng, started = random.Random(seed), time.monotonic()
        build, due = start(self._project, self._log, self._env), started + every
        while (code := build.poll()) != 0:
            now = time.monotonic()
            if now - started > limit:
                raise SystemExit(f"no end after {limit:.0f} s: see {self._log.name}")
            if code is not None:
                self.tale.ends[self._why(code)] += 1
                build = start(self._project, self._log, self._env)
            elif not self.tale.full and self._n_ended() >= FULL_AT * n_jobs:
                self._fill(build)
            elif now >= due:
                self._strike(rng)
                due = time.monotonic() + rng.expovariate(1 / every)
            time.sleep(0.1)
        self.tale.seconds = time.monotonic() - started
        return self.tale

    def _n_ended(self) -> int:
        return sum(1 for _ in (self._project.root / "workdirs/main").glob("main-*/post.json"))

    def _strike(self, rng: random.Random) -> None:
        # Of all kinds: while a build starts there is only the build itself, which would be killed for ever.
        kind = rng.choice(list(KINDS))
        found = by_kind(self._project.root).get(kind)
        if found and kill(rng.choice(found)):
            self.tale.kills[kind] += 1
            self._say(f"killed: {kind}")

    def _fill(self, build: subprocess.Popen[bytes]) -> None:
        """Leave the disk full until the build has given up, then give the space back."""
        self.tale.full += 1
        self._say("the disk is full")
        self._disk.fill()
        try:
            build.wait(timeout=120)
        except subprocess.TimeoutExpired:
            self._say("the build has not noticed")
        self._disk.free()
        self._say("there is space again")

    def _say(self, what: str) -> None:
        self._log.write(f"STORM {what}\n".encode())
        self._log.flush()

    def _why(self, code: int) -> str:
        with open(self._log.name, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 3000))
            tail = file.read().decode(errors="replace")
        if code < 0:
            return f"killed by signal {-code}"
        # Not only the last line: the build that still runs writes into the same log.
        if any("is running (process" in line for line in tail.splitlines()[-5:]):
            time.sleep(1.0)
            return "another build was still running"
        return "a part failed" if "INCOMPLETE" in tail else "an error"


def n_begun(project: Project) -> tuple[int, int, int]:
    """Return how many cells there are, how many were begun, and how many jobs were."""
    jobs = project.root / "workdirs" / "main"
    n_cells = n_begun = 0
    names = set()
    for path in jobs.glob("main-*/pool.json"):
        if not (path.parent / "post.json").exists():
            continue  # gone on with by the next of its name, which counts its cells
        told, name = json.loads(path.read_text()), json.loads((path.parent / "setup.json").read_text())["caption"]
        n_begun += told["n_begun"]
        n_cells += 0 if name in names else told["n_cells"]
        names.add(name)
    return n_cells, n_begun, sum(1 for _ in jobs.glob("main-*"))


def left_behind(project: Project, before: set[str], backend: str) -> list[str]:
    """Name what a build and its server left behind that ended."""
    project.cortax("down")
    root = project.root
    found = [f"process {process.pid} {process.title[:60]}" for process in processes(root)]
    found += [f"socket {path.name}" for path in (root / ".socket.dir").glob("*")]
    found += [
        f"{path.relative_to(root)}" for name in ("running", "engines") for path in (root / ".cortax" / name).glob("*")
    ]
    return found + [f"{name}" for name in sorted(shared(backend) - before)]


def shared(backend: str) -> set[str]:
    """Shared memory of this user and, where it is worked with, folders of Ray, whoever made them."""
    rays = Path(tempfile.gettempdir()).glob("cortax-ray-*") if backend == "ray" else ()
    found = [*Path("/dev/shm").glob("*"), *rays]
    return {str(path) for path in found if path.stat().st_uid == os.geteuid()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 parcellations, 270 cells")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between tries to kill, on average")
    parser.add_argument("--backend", default="slices", help="where the cells of the stormy build are worked on")
    parser.add_argument("--seed", type=int, default=1, help="of the storm")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds after which the storm gives up")
    parser.add_argument("--log", type=Path, default=Path(tempfile.gettempdir(), "storm.log"))
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # with all that has to be ended and removed
    root = Path(tempfile.mkdtemp(prefix="cx")).resolve()
    disk, before = Disk(root), shared(arguments.backend)
    disk.mount("900m")
    project = Project(root)
    try:
        with open(arguments.log, "wb") as log:
            bad = run(project, disk, log, before, arguments)
    finally:
        disk.free()
        print(project.cortax("down", "--force", check=False).stderr, end="", file=sys.stderr)
        disk.unmount()
        shutil.rmtree(root, ignore_errors=True)
    sys.exit(bool(bad))


def run(project: Project, disk: Disk, log: IO[bytes], before: set[str], arguments: argparse.Namespace) -> list[str]:
    text, n_cells = study(2 if arguments.quick else 15)
    project.write("studies/storm.toml", text)
    simulate(project.root / "input" / "simulated")
    calm = undisturbed(project, log, project.env)
    expected = results_of(project.root)
    print(f"undisturbed: {len(expected[0])} jobs, {n_cells} cells, {calm:.0f} s", flush=True)
    clear(project)
    env = {**project.env, "CORTAX_BACKEND": arguments.backend}
    tale = Storm(project, disk, log, env).rage(arguments.seed, arguments.every, len(expected[0]), arguments.limit)
    return tell(project, tale, compare(expected, results_of(project.root)), log, before, arguments.backend)


def tell(project: Project, tale: Tale, other: list[str], log: IO[bytes], before: set[str], backend: str) -> list[str]:
    text = re.sub(r"\x1b\[[0-9;]*[mK]", "", Path(log.name).read_text(errors="replace"))
    n_cells, begun, n_folders = n_begun(project)
    print(f"in the storm: {tale.seconds:.0f} s, {sum(tale.kills.values())} processes killed:")
    for kind, n in sorted(tale.kills.items(), key=lambda item: -item[1]):
        print(f"  {kind:<24}{n:5d}")
    print(f"the disk was full {tale.full} time{'s' * (tale.full != 1)}")
    print(f"gone on by itself: {text.count(': going on from')} times")
    print(f"`cortax build` started again: {sum(tale.ends.values())} times")
    for why, n in tale.ends.items():
        print(f"  {why:<32}{n:5d}")
    print(
        f"cells searched and evaluated: {n_cells}; begun {begun}, so {begun - n_cells} twice; job folders: {n_folders}"
    )
    verified = project.cortax("verify", check=False)
    print(verified.stdout.strip())
    left = left_behind(project, before, backend)
    print(f"results that differ: {', '.join(other) or 'none'}")
    print(f"left behind: {', '.join(left) or 'nothing'}", flush=True)
    return other + left + ["damaged"] * verified.returncode


if __name__ == "__main__":
    main()
