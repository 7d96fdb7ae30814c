"""Parallelism on this machine: what `cortax bench-parallel` prints; or builds of the demonstration, tuned and untuned.

    python benchmarks/bench_parallel.py [OPTIONS OF cortax bench-parallel]
    python benchmarks/bench_parallel.py --build [--workers N] [--backend NAME] [--restrict PATTERNS] [--rounds 1]

The second compares whole builds, each from nothing in a temporary copy of the project that shares its input and its
machine code: with a setting, by default that of `cortax.toml`, or as many workers as there are cores; and with as many
threads as BLAS and OpenMP like to take, by one worker and by as many. The project's own rule of one thread is taken out
of those copies' code, and every search's record is asked whether that was so.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cortax.cli import main as cli
from cortax.workflow.work.settings import read_settings

SOURCE = Path(__file__).resolve().parents[1]
CORTAX = "from cortax.cli import main; main()"
RULE = re.compile(r'^    os\.environ\[f"\{_name\}_NUM_THREADS"\] = "1"$', re.M)
LIMIT = "    threadpoolctl.threadpool_limits(limits=n_threads)\n"
CHECK = re.compile(r"^    if others := .*?\n(?=    return found$)", re.M | re.S)


def write_copy(root, *, untuned):
    """Copy the code; the input is shared."""
    for name in ("cortax", "methods", "dev", "studies"):
        shutil.copytree(SOURCE / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("accelerator.conf", "requirements.lock", "requirements-data.lock"):
        shutil.copy(SOURCE / name, root / name)
    (root / "workdirs" / "main").mkdir(parents=True)
    (root / "input").symlink_to(SOURCE / "input")
    if untuned:
        rewrite(root / "methods" / "__init__.py", RULE, "    pass")
        worker = root / "cortax" / "workflow" / "work" / "worker.py"
        rewrite(worker, re.compile(re.escape(LIMIT)), "")
        rewrite(worker, CHECK, "")


def rewrite(path, pattern, text):
    changed, n = pattern.subn(text, path.read_text())
    if n != 1:
        raise SystemExit(f"{path}: what makes workers use one thread is not where this script looks for it")
    path.write_text(changed)


def build(study, restrict, setting, limit, *, untuned):
    """Build a study from nothing; return seconds, or None where that took too long."""
    # A short path: the names of sockets are limited.
    with tempfile.TemporaryDirectory(prefix="cp") as folder:
        root = Path(folder)
        write_copy(root, untuned=untuned)
        unset = {name for name in os.environ if name.endswith("_NUM_THREADS") or name.startswith("CORTAX_")}
        kept = {name: value for name, value in os.environ.items() if name not in unset}
        env = {**kept, **setting, "PYTHONPATH": str(root)}
        command = [sys.executable, "-c", CORTAX]
        subprocess.run([*command, "up"], cwd=root, env=env, check=True, stdout=subprocess.DEVNULL)
        started = time.perf_counter()
        try:
            done = subprocess.run(
                [*command, "build", study, *(["--restrict", restrict] if restrict else [])],
                cwd=root,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=limit,
            )
        except subprocess.TimeoutExpired:
            return None
        finally:
            subprocess.run([*command, "down", "--force"], cwd=root, env=env, stdout=subprocess.DEVNULL)
        if done.returncode:
            raise SystemExit(done.stdout[-5000:])
        check_threads(root, untuned=untuned)
        return time.perf_counter() - started


def check_threads(root, *, untuned):
    """Make sure that workers had one thread, or not: each search says how many."""
    found = {
        n
        for path in root.glob("workdirs/main/main-*/pool.json")
        for n in json.loads(path.read_text())["threads"].values()
    }
    if os.cpu_count() > 1 and (found != {1}) != untuned:
        raise SystemExit(f"workers were to have {'all' if untuned else 'one of the'} threads; found {found}")


def compare_builds(asked):
    said = read_settings(SOURCE)
    workers, backend = asked.workers or said.workers or os.cpu_count(), asked.backend or said.backend
    tuned = {"CORTAX_WORKERS": str(workers), "CORTAX_BACKEND": backend}
    cases = {
        f"{backend}, {workers} workers, one thread each": (tuned, False),
        "slices, 1 worker, threads as they come": ({"CORTAX_WORKERS": "1"}, True),
        f"slices, {workers} workers, threads as they come": ({"CORTAX_WORKERS": str(workers)}, True),
    }
    took = {name: [] for name in cases}
    for _ in range(asked.rounds):
        for name, (setting, untuned) in cases.items():
            if None not in took[name]:
                took[name].append(build(asked.study, asked.restrict, setting, asked.limit, untuned=untuned))
                print(f"{name}: {took[name][-1]} s, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    print(
        f"cortax build {asked.study} {asked.restrict}, from nothing; {os.cpu_count()} cores, median of {asked.rounds}\n"
    )
    print("| setting | seconds | times the first |")
    print("| --- | ---: | ---: |")
    first = None
    for name, seconds in took.items():
        sign, found = ("> ", asked.limit) if None in seconds else ("", statistics.median(seconds))
        first = first or found
        print(f"| {name} | {sign}{found:.1f} | {sign}{found / first:.2f} |")


def main():
    if "--build" not in sys.argv:
        sys.argv[1:1] = ["bench-parallel"]
        os.chdir(SOURCE)
        cli()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", action="store_true")
    parser.add_argument("--study", default="demo")
    parser.add_argument("--restrict", default="", help="such as pipeline=ridge,parcellation=schaefer-1*")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--backend")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds after which a build is ended")
    compare_builds(parser.parse_args())


if __name__ == "__main__":
    main()
