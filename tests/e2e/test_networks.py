"""Networks of genes through Exax: what runs when a study grows, and that no number depends on who did what."""

import json
import os
import shutil
import signal
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Project
from test_kept_cells import Harm, digests, finish, job_processes, newest, running

pytestmark = pytest.mark.slow

STUDY = """
kind = "network"
name = "net"
title = "Twenty genes"
simulated = true

[expression]
file = "input/net/first.csv"

[regulators]
names = ["g0*"]

[forests.genie3]
n_trees = 20

[graph]
n_links = 30

[truth]
file = "input/net/truth.tsv"

[grid]
genes_per_job = 9
"""
GENES = [f"g{number:02d}" for number in range(20)]
N_FIRST = 18
LAST = ["network_scores", "network_curves", "network_report"]
REGRESS = ["regress/genie3", "regress/genie3/g09-and-8"]


def write_expression(folder):
    """Every gene from g10 on follows the one ten before it; the first file lacks the last two."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 20))
    values[:, 10:] += 2 * values[:, :10]
    table = pd.DataFrame(values, columns=GENES)
    table[GENES[:N_FIRST]].to_csv(folder / "first.csv", index=False)
    # What is there already, in another order and among others.
    table[GENES[::-1]].to_csv(folder / "all.csv", index=False)
    truth = [f"{regulator}\t{target}" for regulator, target in zip(GENES[:10], GENES[10:], strict=True)]
    (folder / "truth.tsv").write_text("\n".join(truth) + "\n")


class Net(Project):
    study = "net"

    def __init__(self, root):
        super().__init__(root)
        self.write("studies/net.toml", STUDY)
        write_expression(root / "input" / "net")


@pytest.fixture(scope="module")
def project():
    root = Path(tempfile.mkdtemp(prefix="cx"))
    made = Net(root)
    try:
        made.cortax("up")
        made.harm = Harm(made, "cortax/workloads/network/tasks.py", '"""Regress a gene."""')
        made.first = made.run()
        made.undisturbed = digests(made)
        yield made
    finally:
        made.cortax("down", "--force", check=False)
        shutil.rmtree(root, ignore_errors=True)


def test_a_network_is_found_and_looked_at(project):
    made = ["expression", *["genes"] * 3, *["regress"] * 2, "rank", "graph", *LAST]
    assert project.first.made == made
    assert project.run().made == []
    links = pd.read_parquet(project.root / "results/net/genie3/links.parquet")
    assert len(links) == N_FIRST * 10 - 10, "every regulator on every gene but itself"
    assert links["importance"].is_monotonic_decreasing
    (scores,) = project.scores().to_dict("records")
    assert scores["auroc"] > 0.95
    assert (scores["n_true"], scores["n_unranked"]) == (8, 0)
    for file in ("genes.tsv", "network.graphml", "network.tsv"):
        assert (project.root / "results/net/genie3" / file).stat().st_size > 0
    assert "g00" in project.cortax("results", "net", "--where", "target=g10", "--rows", "1").stdout
    assert "hub" in project.cortax("results", "net", "--table", "genes").stdout
    assert "auroc" in project.cortax("results", "net", "--table", "scores").stdout
    assert len(pd.read_parquet(project.root / "results/net/curves.parquet")) > 4
    page = (project.root / "results/net/report.html").read_text()
    assert "SIMULATED DATA: Twenty genes" in page
    assert "Agreement with what is known" in page
    assert "no job failed" in project.cortax("errors", "net").stdout
    assert "0 damaged" in project.cortax("verify").stdout
    assert "11 jobs, 18 units (forest x target gene)\nnothing would run" in project.cortax("plan", "net").stdout
    assert "input/net/first.csv sha256" in project.cortax("show", "net/regress/genie3").stdout
    assert "regulators" in project.cortax("results", "net", "--why").stdout
    refused = project.cortax("results", "net", "--table", "likns", check=False)
    assert "did you mean 'links'" in refused.stderr
    assert "auroc" in project.ax("ds", ":net:scores").stdout


def test_another_back_end_and_any_number_of_workers_find_the_same(project, monkeypatch):
    project.harm.another_round()
    monkeypatch.setenv("CORTAX_BACKEND", "loky")
    monkeypatch.setenv("CORTAX_WORKERS", "7")
    run = project.run()
    assert run.made == ["regress", "regress", "network_report"]
    assert run.text.count("same results as") == 2
    assert digests(project) == project.undisturbed


def test_any_blocks_find_the_same(project):
    text = STUDY.replace('name = "net"', 'name = "cut"')
    project.write("studies/cut.toml", text.replace("genes_per_job = 9", "genes_per_job = 4"))
    assert project.cortax("build", "cut").stdout.count("- regress ") == 5
    for file in ("links.parquet", "network.graphml", "genes.tsv"):
        found, wanted = (project.root / "results" / name / "genie3" / file for name in ("cut", "net"))
        assert found.read_bytes() == wanted.read_bytes(), file


def test_a_slice_and_the_server_are_killed(project):
    harm = project.harm
    harm.another_round(0.2)
    build = project.start()
    harm.wait(4)
    worker = int(harm.begun[-1][0])
    os.kill(int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
    assert "was killed: going on from" in finish(build)
    assert N_FIRST < len(harm.begun) <= N_FIRST + 2
    assert digests(project) == project.undisturbed
    harm.another_round(0.2)
    build = project.start()
    harm.wait(6)
    os.kill(int((project.root / ".cortax/server.pid").read_text()), signal.SIGKILL)
    project.wait_for(lambda: not job_processes(project), 30)
    os.killpg(build.pid, signal.SIGKILL)
    build.communicate()
    project.cortax("up")
    run = project.run()
    assert run.text.count("same results as") == 2
    assert any(json.loads((job / "pool.json").read_text())["n_resumed"] for job in newest(project, "regress", 2))
    assert len(harm.begun) <= N_FIRST + 2
    assert digests(project) == project.undisturbed
    assert running(project) == []


def test_a_gene_that_fails_costs_its_block_only(project):
    project.harm.another_round()
    project.harm.cell("g10", "raise ValueError('out of ink')")
    run = project.run(check=False)
    assert run.code == 1
    assert "the links are INCOMPLETE" in run.text
    links = pd.read_parquet(project.root / "results/net/genie3/links.parquet")
    assert set(links["target"]) == set(GENES[:9])
    assert "scores FAILED: no forest has all of its regressions" in run.text
    assert "out of ink" in project.cortax("errors", "net").stdout
    project.harm.calm()
    assert project.run().made[0] == "regress"
    assert digests(project) == project.undisturbed


def test_genes_that_are_new_are_all_that_is_regressed(project):
    before = pd.read_parquet(project.root / "results/net/genie3/links.parquet")
    project.edit("studies/net.toml", "first.csv", "all.csv")
    run = project.run()
    assert run.made == ["expression", *["genes"] * 4, "regress", "rank", "graph", *LAST]
    assert run.text.count("same results as") == 3, "regulators and both blocks"
    assert set(project.jobs()) > {*REGRESS, "regress/genie3/g18-and-1"}
    after = pd.read_parquet(project.root / "results/net/genie3/links.parquet")
    assert set(after["target"]) == set(GENES)
    old = after[after["target"].isin(GENES[:N_FIRST])].reset_index(drop=True)
    pd.testing.assert_frame_equal(old, before)
    project.edit("studies/net.toml", '[regulators]\nnames = ["g0*"]', "")
    run = project.run()
    assert run.made.count("regress") == 3
    assert "inputs changed: regulators" in run.text
