"""What one more ensemble costs a finished study, against building it from nothing, all in one run.

    cortax data
    python benchmarks/bench_ensemble.py [--parcellations N] [--configs N] [--skip-builds]

Builds the simulated cohort (300 subjects, fsaverage5) with N random parcellations of 100 regions, ridge and elastic
net, 9 targets and stacked ensembles of 3, in a temporary project with an Exax server of its own. Then asks for stacked
ensembles of all N, which the 3 are among, for pooled ones and for the other strategies. Last, the penalty of a stacked
model is searched by cortax and by scikit-learn's GridSearchCV, on the same numbers.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _one_thread  # noqa: F401  (first: it makes rules for the libraries below)
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))

from conftest import BIN, SOURCE, Project, Run
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cortax.learning.ensemble.meta import META, stack

PARCELLATION = '[parcellations.random-{n}]\nkind = "random-growth"\nn_regions = 100\nseed = {n}\n'
ENSEMBLE = '[ensembles.random]\nparcellations = ["random-*"]\nstrategies = ["stacked"]\nn_members = [3]\n'
PIPELINES = """
[pipelines.ridge]
kind = "ridge"
n_configs = {n}

[pipelines.elastic]
kind = "elastic"
n_configs = {n}
space = {{ alpha = {{ low = 1e-2, high = 1e1, log = true }}, C = {{ low = 3e-2, high = 3e0, log = true }} }}
"""
SCORER = {"regression": "explained_variance", "classification": "matthews_corrcoef"}


def write_study(project: Project, n_parcellations: int, n_configs: int) -> None:
    """Take images, people and targets from the demonstration."""
    demo = (SOURCE / "studies" / "demo.toml").read_text().replace('name = "demo"', 'name = "mini"')
    head, end = demo[: demo.index("[parcellations.")], demo[demo.index("[evaluate]") :]
    evaluate = end[: match.start()] if (match := re.search(r"^\[(?!evaluate)", end, re.M)) else end
    parcellations = "\n".join(PARCELLATION.format(n=n + 1) for n in range(n_parcellations))
    project.write(
        "studies/mini.toml", head + parcellations + PIPELINES.format(n=n_configs) + "\n" + ENSEMBLE + evaluate
    )
    (project.root / "input" / "simulated").symlink_to(SOURCE / "input" / "simulated")


def build(project: Project) -> Run:
    started = time.monotonic()
    command = [str(BIN / "ax"), "run", "--quiet", "studies"]
    done = subprocess.run(command, cwd=project.root, env=project.env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return Run(done.returncode, re.sub(r"\x1b\[[0-9;]*[mK]", "", done.stdout), time.monotonic() - started)


def report(project: Project, what: str, run: Run, cold: Run) -> None:
    """Print what a build took, and by method how many jobs ran and their seconds."""
    log = project.build_log()["ran"] if run.made else {}
    print(
        f"{what}: {len(run.made)} jobs ran, {run.seconds:.1f} s in all; {cold.seconds / run.seconds:.0f} times faster"
    )
    for method in dict.fromkeys(run.made):
        mine = {name: entry["seconds"] for name, entry in log.items() if name.split("/")[0] == method}
        print(f"    {method:<12}{len(mine):5d} jobs{sum(mine.values()):9.1f} s, the longest {max(mine.values()):.1f} s")
    sys.stdout.flush()


def builds(n_parcellations: int, n_configs: int) -> None:
    root = Path(tempfile.mkdtemp(prefix="cx"))
    project = Project(root)
    try:
        write_study(project, n_parcellations, n_configs)
        project.cortax("up")
        cold = build(project)
        report(project, "from nothing, with stacked-3", cold, cold)
        project.edit("studies/mini.toml", "n_members = [3]", f"n_members = [3, {n_parcellations}]")
        report(project, f"and stacked-{n_parcellations}", build(project), cold)
        project.edit("studies/mini.toml", "[ensembles.random]\n", "[ensembles.random]\npooled = true\n")
        report(project, "and both pipelines pooled", build(project), cold)
        project.edit("studies/mini.toml", '["stacked"]', '["stacked", "voted", "grid"]')
        report(project, "and voted and grid, of 3 and all, by pipeline and pooled", build(project), cold)
        again = build(project)
        print(f"no change: {len(again.made)} jobs ran, {again.seconds:.1f} s")
    finally:
        project.cortax("down", "--force", check=False)
        shutil.rmtree(root, ignore_errors=True)


def _predictions(rng: np.random.Generator, n_subjects: int, n_members: int, task: str) -> tuple[np.ndarray, np.ndarray]:
    """Members that mostly agree about a weak signal."""
    truth = rng.normal(size=(n_subjects, 1))
    odds = 0.3 * truth + 0.25 * rng.normal(size=truth.shape) + 0.1 * rng.normal(size=(n_subjects, n_members))
    y = truth[:, 0] + 2 * rng.normal(size=n_subjects)
    return (odds, y) if task == "regression" else (1 / (1 + np.exp(1 - odds)), (y > 1.5).astype(float))


def _by_hand(X: np.ndarray, y: np.ndarray, X_test: np.ndarray, inner: list, task: str) -> np.ndarray:
    final = Ridge() if task == "regression" else LogisticRegression(tol=1e-6, max_iter=1000)
    name = type(final).__name__.lower()
    keys = ("alpha",) if task == "regression" else ("C", "class_weight")
    grid = [{f"{name}__{key}": [config[key]] for key in keys} for config in META[task]]
    search = GridSearchCV(make_pipeline(StandardScaler(), final), grid, cv=inner, scoring=SCORER[task])
    search.fit(X, y.astype(int) if task == "classification" else y)
    return search.predict(X_test) if task == "regression" else search.decision_function(X_test)


def meta_models(n_subjects: int, n_members: int) -> None:
    rng = np.random.default_rng(0)
    n_test = n_subjects // 4
    for task in ("regression", "classification"):
        X, y = _predictions(rng, n_subjects + n_test, n_members, task)
        fold = np.arange(n_subjects) % 3
        inner = [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(3)]
        train, test, truth = X[:n_subjects], X[n_subjects:], y[:n_subjects]
        stack(train[:99], truth[:99], test, [(np.arange(66), np.arange(66, 99))] * 2, task=task, scorer=SCORER[task])
        started = time.process_time()
        found = stack(train, truth, test, inner, task=task, scorer=SCORER[task])
        ours = time.process_time() - started
        expected = _by_hand(train, truth, test, inner, task)
        theirs = time.process_time() - started - ours
        away = np.abs(found.decisions - expected).max() / np.std(expected)
        print(
            f"{n_subjects:6d} subjects, {n_members:3d} members, {task:<14}: {ours:6.3f} s, "
            f"scikit-learn {theirs:7.2f} s, {theirs / ours:4.0f} times; decisions differ by {away:.0e} of their spread",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parcellations", type=int, default=10)
    parser.add_argument("--configs", type=int, default=20)
    parser.add_argument("--skip-builds", action="store_true", help="only the models on top")
    arguments = parser.parse_args()
    if not arguments.skip_builds:
        if not (SOURCE / "input" / "simulated").is_dir():
            raise SystemExit(f"{SOURCE / 'input' / 'simulated'}: not there; run `cortax data` first")
        builds(arguments.parcellations, arguments.configs)
    for n_subjects, n_members in ((240, 10), (7500, 10), (7500, 192)):
        meta_models(n_subjects, n_members)


if __name__ == "__main__":
    main()
