"""Planning a study of 148,500 cells, and finding that nothing of it needs to run, all in one run.

    python benchmarks/bench_plan.py [--subjects N] [--profile FILE]

Writes, in a temporary project, the base experiment's shape: 9,432 subjects of 4 maps (tiny files), 220 parcellations,
45 targets, 3 pipelines, 5 outer folds; plans it as `cortax plan` does, each time in a fresh process, first without any
cache; then writes the folders that its finished jobs would have left, and plans the finished study, and the same grown
by a target, by a parcellation and by a pipeline.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).resolve().parents[1]
PIPELINES = ("elastic", "svm", "lgbm")
SIZES = [*range(10, 101, 10), 150, *range(200, 1001, 100), 1500, *range(2000, 6001, 1000)]
PREVIEW = """
import resource, sys, time
from pathlib import Path
started = time.perf_counter()
from cortax.workflow.build.preview import preview, summary_lines
from cortax.workflow.workload import read_study
root = Path.cwd()
found = preview(read_study(root / "studies/large.toml"), root)
wall, cpu = time.perf_counter() - started, time.process_time()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(len(found.jobs), len(found.pending), found.n_units(found.jobs), wall, cpu, peak)
"""


def write_frame(root):
    """Write what a project is without its data."""
    for name in ("cortax", "methods", "dev", "accelerator.conf"):
        (root / name).symlink_to(SOURCE / name)
    for folder in ("workdirs/main", "studies", "input", ".cortax"):
        (root / folder).mkdir(parents=True)
    (root / "workdirs/main/.slices").write_text("64")


def write_project(root, n_subjects):
    write_frame(root)
    (root / "input/maps").mkdir()
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(size=(n_subjects, 45)), 3)
    values[:, 22:] = values[:, 22:] > 0
    names = [f"t{i:02d}" for i in range(46)]
    lines = ["\t".join(["participant_id", "family_id", "age", *names])]
    for i, row in enumerate(values):
        (root / f"input/maps/sub-{i:05d}").mkdir()
        for one in ("curv", "sulc", "thickness", "myelin"):
            (root / f"input/maps/sub-{i:05d}/{one}.npy").write_bytes(b"%d" % i)
        lines.append(
            "\t".join([f"sub-{i:05d}", f"fam-{i // 2:05d}", f"{9 + i % 24 / 12:.2f}", *map(str, row), str(row[0])])
        )
    (root / "input/participants.tsv").write_text("\n".join(lines) + "\n")
    for i, n_regions in enumerate(np.geomspace(7, 998, 84).astype(int)):
        np.save(root / f"input/labels-{i:02d}.npy", np.arange(n_regions + 1, dtype=np.int32))
    past = time.time() - 60
    for path in (root / "input").rglob("*"):
        os.utime(path, (past, past))


def study_text(n_targets=45, more="", pipelines=PIPELINES):
    parts = [
        'name = "large"\ntitle = "The shape of the base experiment"\nsimulated = true\n',
        '[images]\nroot = "input/maps"\nspace = "fsLR-32k"\n[images.maps]',
        *[f'{one} = "{{participant_id}}/{one}.npy"' for one in ("curv", "sulc", "thickness", "myelin")],
        '[phenotypes]\nfile = "input/participants.tsv"\ngroup = "family_id"\nconfounds = ["age"]\n[targets]',
        *[f't{i:02d} = {{ kind = "{"classification" if 22 <= i < 45 else "regression"}" }}' for i in range(n_targets)],
        *[f'[parcellations.existing-{i:02d}]\nkind = "labels"\nfile = "input/labels-{i:02d}.npy"' for i in range(84)],
        *[
            f'[parcellations.random-{n}-{seed}]\nkind = "random-growth"\nn_regions = {n}\nseed = {seed}'
            for n in SIZES
            for seed in range(5)
        ],
        *[f'[parcellations.icosahedral-{i}]\nkind = "icosahedral"\nlevel = {i}' for i in range(5)],
        '[parcellations.icosahedral-mean]\nkind = "icosahedral"\nlevel = 4\nstatistic = "median"',
        more,
        *[f'[pipelines.{kind}]\nkind = "{kind}"\nn_configs = 60' for kind in pipelines],
    ]
    return "\n".join(parts)


def write_finished(root):
    """Leave what the study's jobs would have left: records, settings and code, with results of a few bytes."""
    from cortax.project import jobs_folder
    from cortax.provenance import outputs
    from cortax.provenance.closure import Look, manifest_text
    from cortax.provenance.files import DigestMemory
    from cortax.workflow.build.history import History
    from cortax.workflow.plan.identity import note_identity
    from cortax.workflow.workload import Planning, read_study, workload_of

    history = History(jobs_folder(root), root, functools.cache(functools.partial(manifest_text, look=Look(root))))
    study = read_study(root / "studies/large.toml")
    ids = {}
    planning = Planning(root, DigestMemory(root / ".cortax/digests.json"), history)
    for number, spec in enumerate(workload_of(study.kind).load("plan")(study, planning)):
        folder = root / f"workdirs/main/main-{number}"
        folder.mkdir()
        jobs = {slot: ids[n] if isinstance(n, str) else [ids[one] for one in n] for slot, n in spec.jobs.items()}
        setup = {
            "method": spec.method,
            "hash": history.code_key(spec.method),
            "options": spec.options,
            "jobs": jobs,
            "exectime": {"total": 60.0},
        }
        (folder / "setup.json").write_text(json.dumps(setup, indent=4))
        results = [f"result-{i}.npy" for i in range(4)]
        for name in results:
            (folder / name).write_text(spec.name + name)
        with tarfile.open(folder / "method.tar.gz", "w:gz"):
            pass
        outputs.record(folder, results, method=spec.method, name=f"large/{spec.name}")
        note_identity(folder, "large", spec)
        (folder / "post.json").write_text("{}")
        ids[spec.name] = folder.name
    return len(ids)


def measure(root, what, profile=None):
    extra = ["-m", "cProfile", "-o", profile] if profile else []
    script = root / "preview.py"
    script.write_text(PREVIEW)
    done = subprocess.run(
        [sys.executable, *extra, script],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    n_jobs, n_pending, n_cells, wall, cpu, peak = done.stdout.split()
    took = f"{float(wall):.1f} | {float(cpu):.1f} | {float(peak):.0f}"
    print(f"| {what} | {n_jobs} | {int(n_cells):,} | {n_pending} | {took} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=9432)
    parser.add_argument("--profile", help="where to write a profile of the plan of the finished study")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cx") as folder:
        root = Path(folder)
        write_project(root, asked.subjects)
        study = root / "studies/large.toml"
        study.write_text(study_text())
        print("| plan of | jobs | cells | would run | seconds | of CPU | peak memory, MB |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        measure(root, "a new study, nothing known of its files")
        measure(root, "a new study")
        write_finished(root)
        measure(root, "the finished study", asked.profile)
        study.write_text(study_text(n_targets=46))
        measure(root, "the finished study and a target")
        study.write_text(study_text(more='[parcellations.more]\nkind = "random-growth"\nn_regions = 123\nseed = 9'))
        measure(root, "the finished study and a parcellation")
        study.write_text(study_text(pipelines=(*PIPELINES, "ridge")))
        measure(root, "the finished study and a pipeline")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n(writing all that: {own:.0f} MB; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f})")


if __name__ == "__main__":
    main()
