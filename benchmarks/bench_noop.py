"""A build of a finished study of 148,500 cells, through Exax: what it takes to find that nothing needs to run.

    python benchmarks/bench_noop.py [--subjects N] [--keep FOLDER] [--profile FILE]

The study is that of `bench_plan.py`, in a temporary copy of the project with a real Exax server. The methods keep their
imports, options and inputs, so that the server has as much to load and to compare as ever, but write a few small files
instead of computing: their results are simulated, the job folders and everything that a build reads of them are
not. The first build makes all jobs; then a build that has nothing to do is timed, by `cortax build` and by `ax run`.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from bench_plan import SOURCE, measure, study_text, write_project

BIN = Path(sys.executable).parent
# What stands for the work of a method: as many files as its jobs have, simulated scores, and the record.
SHELL = """

import pandas as pd
from cortax.provenance import outputs


def synthesis(job):
    names = [f"result-{i}.npy" for i in range({"load": 2, "split": 3}.get(job.method, 4))] + ["dropped.csv"]
    names += ["report.html"] if job.method == "report" else []
    for name in names:
        with open(name, "w") as file:
            file.write("participant_id,reason,file\\n" if name == "dropped.csv" else job.params.caption + name)
    if job.method in ("evaluate", "collect") and options.get("fold") is None:
        names.append("scores.parquet")
        folds = [*map(str, range(5)), "mean"]
        names_of = [(source.params.options["name"], fold) for source in jobs.targets for fold in folds]
        rows = [(*name, metric, 0.5, 0.4, 0.6, 9000, 1000, 0.01) for name in names_of for metric in ("a", "b")]
        columns = ["target", "fold", "metric", "value", "low", "high", "n_subjects", "n_groups", "sd_repeats"]
        pd.DataFrame(rows, columns=columns).to_parquet("scores.parquet", index=False)
    outputs.record(job.path, names, method=job.method, name=job.params.caption)


for _name in ("prepare", "analysis"):
    globals().pop(_name, None)
"""
CORTAX = "from cortax.cli import main; main()"


def copy_code(root, text, real, shell):
    """Have a study's text and a copy of the code, in which all methods but a few only write what `shell` says."""
    for name in ("cortax", "methods", "dev"):
        (root / name).unlink()
        shutil.copytree(SOURCE / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (root / "methods").rglob("a_*.py"):
        if path.stem not in real:
            path.write_text(path.read_text() + shell)
    (root / "studies/large.toml").write_text(text)
    (root / "workdirs/main/.slices").unlink()


def environment(root):
    return {**os.environ, "PYTHONPATH": str(root), "CORTAX_STUDIES": "studies/large.toml", "AX_SLICES": "2"}


def cortax(*arguments):
    return [sys.executable, "-c", CORTAX, *arguments]


def build(root, command):
    """Run a build; return what it printed, wall seconds, CPU seconds of it and of the server, and its peak in MB."""
    before, started = server_seconds(root), time.monotonic()
    with open(root / "build.log", "w+") as log:
        process = subprocess.Popen(command, cwd=root, env=environment(root), stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        log.seek(0)
        text = re.sub(r"\x1b\[[0-9;]*[mK]", "", log.read())
    if status:
        raise SystemExit(text[-5000:])
    return text, wall, used.ru_utime + used.ru_stime, server_seconds(root) - before, used.ru_maxrss / 1024


def server_processes(root):
    """The server and all of its session, as folders of /proc."""
    noted = root / ".cortax/server.pid"
    for folder in Path("/proc").glob("[0-9]*") if noted.exists() else []:
        with suppress(OSError):
            if os.getsid(int(folder.name)) == int(noted.read_text()):
                yield folder


def server_seconds(root):
    """CPU seconds of the server's processes, those that have ended included."""
    ticks = 0
    for folder in server_processes(root):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def server_memory(root):
    """Peak memory of each process of the server, in MB."""
    found = (re.findall(r"VmHWM:\s+(\d+)", (folder / "status").read_text()) for folder in server_processes(root))
    return [int(peak) / 1024 for (peak,) in found]


def report(what, runs):
    texts, *figures = zip(*runs, strict=True)
    ran = [len(re.findall(r"^   - \S+\s+(?:DONE|MAKE)", text, re.M)) for text in texts]
    linked = [len(re.findall(r"^   - \S+\s+link", text, re.M)) for text in texts]
    wall, cpu, served, peak = map(statistics.median, figures)
    took = f"{wall:.1f} | {cpu:.1f} | {served:.1f} | {peak:.0f}"
    print(f"| {what} | {max(ran)} | {min(linked)} | {took} |", flush=True)


def profile(root, path):
    command = [
        sys.executable,
        "-m",
        "cProfile",
        "-o",
        str(path.resolve()),
        str(BIN / "ax"),
        "run",
        "--quiet",
        "studies",
    ]
    build(root, command)


def measure_builds(root):
    print("| build | jobs that ran | linked | seconds | CPU seconds | the server's | peak memory, MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    report("the first: `cortax build`", [build(root, cortax("build", "large"))])
    report("nothing to do: `cortax build`", [build(root, cortax("build", "large")) for _ in range(3)])
    ax = [str(BIN / "ax"), "run", "--quiet", "studies"]
    report("nothing to do: `ax run studies`", [build(root, ax) for _ in range(3)])
    peaks = ", ".join(f"{peak:.0f}" for peak in sorted(server_memory(root), reverse=True))
    print(f"\nThe server and its processes, MB at the peak: {peaks}.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=9432)
    parser.add_argument("--keep", type=Path, help="a folder of a short path, to measure there again")
    parser.add_argument("--profile", type=Path, help="also profile a build that has nothing to do")
    asked = parser.parse_args()
    root = asked.keep or Path(tempfile.mkdtemp(prefix="cx"))
    try:
        if not (root / "studies").exists():
            write_project(root, asked.subjects)
            # The scores are as they are: they have the table of 148,500 cells to write.
            copy_code(root, study_text(), ("a_scores",), SHELL)
        measure_builds(root)
        print("Planned without it:\n")
        print("| plan of | jobs | cells | would run | seconds | CPU seconds | peak memory, MB |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        measure(root, "the finished study")
        if asked.profile:
            profile(root, asked.profile)
    finally:
        subprocess.run(cortax("down"), cwd=root, env=environment(root), check=False)
        if not asked.keep:
            shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
