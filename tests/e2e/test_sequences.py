"""Sequences through Exax: what runs when a study changes, and that no number depends on who did what."""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Project

pytestmark = pytest.mark.slow

STUDY = """
kind = "sequences"
name = "brooks"
title = "Two brooks"
simulated = true

[sites]
files = "input/brooks/{site}.csv"
names = ["upper", "lower"]
train = [2001-01-01, 2002-12-31]
validation = [2003-01-01, 2003-12-31]
test = [2004-01-01, 2004-12-31]
window = 120
warm_up = 30

[inputs]
columns = ["rain"]

[targets.flow]
column = "flow"
transform = "log"
primary = true

[targets.level]
column = "level"

[network]
hidden = 6

[training]
epochs = [4]
rate = 0.02
factors = [0.0, 0.5]
seeds = 5
"""
# The page takes seconds, and most tests look at other jobs.
WITHOUT_PAGE = """
[report]
enabled = false
"""


def write_brook(path, number):
    rng = np.random.default_rng(number)
    days = pd.date_range("2001-01-01", "2004-12-31")
    rain = rng.gamma(0.5, 4.0, len(days))
    flow = np.convolve(rain, 0.3 * 0.7 ** np.arange(30))[: len(days)] + 0.1
    table = pd.DataFrame({"date": days.strftime("%Y-%m-%d"), "rain": rain, "flow": flow, "level": np.log(flow)})
    table.loc[rng.random(len(days)) < 0.1, "level"] = np.nan
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)
    past = time.time() - 60
    os.utime(path, (past, past))


@pytest.fixture(scope="module")
def brooks():
    root = Path(tempfile.mkdtemp(prefix="cx"))
    project = Project(root)
    project.study = "brooks"
    for number, site in enumerate(("upper", "lower", "middle")):
        write_brook(root / f"input/brooks/{site}.csv", number)
    build(project, page=True)
    project.built = digests(project)
    yield project
    project.cortax("down", "--force", check=False)
    shutil.rmtree(root, ignore_errors=True)


def build(project, *edits, page=False):
    """Build the study with edits of its first text; return the names of the jobs that ran."""
    text = STUDY
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    project.write("studies/brooks.toml", text if page else text + WITHOUT_PAGE)
    project.cortax("build", "brooks")
    return sorted(project.build_log()["ran"])


def digests(project):
    names = [name for name in project.jobs() if name != "report"]
    return {name: (project.job(name) / "outputs.json").read_text().partition('"files"')[0] for name in names}


def skills(project, site):
    return pd.read_parquet(project.root / f"results/brooks/{site}/skill.parquet")


def test_it_is_looked_up_like_any_other(brooks):
    assert "SIMULATED DATA: Two brooks" in (brooks.root / "results/brooks/report.html").read_text()
    assert len(skills(brooks, "upper")) == 2 * (10 + 5)
    assert "verdict" in brooks.cortax("results", "brooks", "--table", "gains").stdout
    assert "upper" in brooks.cortax("results", "brooks").stdout
    beside = brooks.cortax("results", "brooks", "--table", "means", "--where", "period=test").stdout
    assert "networks" in beside
    assert "linear" in beside
    assert "0 damaged" in brooks.cortax("verify").stdout
    planned = brooks.cortax("plan", "brooks").stdout
    assert "20 units (factor x seed)" in planned
    assert "nothing would run" in planned


def test_what_users_vary_last_runs_the_last_jobs(brooks):
    assert build(brooks, ("[training]", '[statistics]\nmetric = "kge"\n\n[training]')) == ["compare"]
    assert "choose" in build(brooks, ("[training]", '[choose]\nmetric = "kge"\n\n[training]'))
    assert not {name for name in brooks.build_log()["ran"] if "/" in name}


def test_a_seed_a_site_or_epochs_more_run_what_is_new_and_change_no_old_number(brooks):
    first, table = brooks.built, skills(brooks, "upper")
    new = build(brooks, ("seeds = 5", "seeds = 6"), ('"lower"]', '"lower", "middle"]'))
    trained = [name for name in new if name.startswith("train/")]
    assert len(trained) == 3
    assert "train/middle/4" in trained
    assert {"site/middle", "predict/middle", "skill/middle"} <= set(new)
    assert not {"site/upper", "train/upper/4", "train/lower/4"} & set(new)
    now = digests(brooks)
    assert {name: now[name] for name in first if "train/" in name} == {
        name: digest for name, digest in first.items() if "train/" in name
    }
    both = skills(brooks, "upper").query("seed < 6").reset_index(drop=True)
    pd.testing.assert_frame_equal(both, table)
    new = build(brooks, ("epochs = [4]", "epochs = [4, 4]"))
    assert [name for name in new if name.startswith("train/")] == ["train/lower/8", "train/upper/8"]
    stages = digests(brooks)
    new = build(brooks, ("epochs = [4]", "epochs = [8]"))
    whole = digests(brooks)
    assert [name for name in new if name.startswith("train/")] == ["train/lower/8", "train/upper/8"]
    for site in ("lower", "upper"):
        assert whole[f"predict/{site}"] == stages[f"predict/{site}"]


def test_no_number_depends_on_slices_or_back_ends(brooks, monkeypatch):
    ways = ({"AX_SLICES": "5"}, {"AX_SLICES": "1", "CORTAX_BACKEND": "loky"})
    for place, way in enumerate(ways):
        brooks.cortax("down", "--force")
        with monkeypatch.context() as changed:
            for name, value in way.items():
                changed.setenv(name, value)
            # Jobs of edited code run again.
            path = "cortax/workloads/sequences/tasks.py"
            brooks.write(path, (brooks.root / path).read_text() + f"\n_EDITED_{place} = {place}\n")
            assert "train/upper/4" in build(brooks)
            assert digests(brooks) == brooks.built
            report = json.loads((brooks.job("train/upper/4") / "pool.json").read_text())
            assert report["n_workers"] == int(way["AX_SLICES"])
            assert report["backend"] == way.get("CORTAX_BACKEND", "slices")
            brooks.cortax("down", "--force")


def test_a_killed_build_goes_on_where_it_was(brooks, monkeypatch):
    monkeypatch.setenv("CORTAX_WORKERS", "1")
    path = brooks.root / "cortax/workloads/sequences/tasks.py"
    path.write_text(
        path.read_text().replace(
            '        """Train a pack."""\n', '        """Train a pack."""\n        import time\n        time.sleep(2)\n'
        )
    )
    brooks.write("studies/brooks.toml", STUDY + WITHOUT_PAGE)
    building = brooks.start_build("brooks")
    brooks.wait_for(brooks.n_kept)
    brooks.kill(building)
    brooks.wait_for(lambda: brooks.cortax("build", "brooks", check=False).returncode == 0)
    assert digests(brooks) == brooks.built
    brooks.assert_resumed(*(name for name in brooks.jobs() if name.startswith("train/")))


def test_test_years_change_nothing_that_was_trained_or_chosen(brooks):
    path = brooks.root / "input/brooks/upper.csv"
    table = pd.read_csv(path)
    later = table["date"] >= "2004-01-01"
    table.loc[later, ["rain", "flow"]] *= 3
    table.to_csv(path, index=False)
    before = pd.read_parquet(brooks.root / "results/brooks/upper/means.parquet")
    build(brooks)
    now = digests(brooks)
    changed = {name for name in brooks.built if now[name] != brooks.built[name]}
    assert changed == {"site/upper", "predict/upper", "skill/upper", "compare"}
    after = pd.read_parquet(brooks.root / "results/brooks/upper/means.parquet")
    # Baselines, too: those of validation are as they were, and those of the test are not.
    same = after["period"] == "validation"
    pd.testing.assert_frame_equal(after[same], before[same])
    other = ~same & (after["target"] == "flow")
    assert (after[other]["rmse"] > 1.5 * before[other]["rmse"]).all()
