"""All look-ups are of the last build: whoever built, whatever was deleted, and wherever another server works."""

import shutil

import pytest

pytestmark = pytest.mark.slow


def state(project):
    """What every look-up shows: the table, the log and the provenance of one job."""
    scores = project.cortax("results", "mini").stdout
    return scores, project.jobs(), project.cortax("show", "mini/evaluate/blocks/ridge").stdout


def test_builds_of_two_users_are_never_mixed(project, monkeypatch):
    monkeypatch.setenv("USER", "alice")
    project.run()
    first = state(project)
    project.edit("studies/mini.toml", "seed = 7", "seed = 8")
    monkeypatch.delenv("USER")
    project.run()
    second = state(project)
    assert first[0] != second[0]
    project.edit("studies/mini.toml", "seed = 8", "seed = 7")
    monkeypatch.setenv("USER", "alice")
    run = project.run()
    assert run.made == []
    assert state(project) == first
    assert project.jobs()["scores"] in project.ax("urd", ":mini:scores").stdout


def test_links_that_were_deleted_come_back(project):
    before = state(project)
    shutil.rmtree(project.root / "results")
    run = project.run()
    assert run.made == []
    assert state(project) == before
    assert "of 12 jobs ran" in project.cortax("results", "mini", "--why").stdout


def test_a_server_that_works_elsewhere_is_refused(project, monkeypatch, tmp_path):
    (tmp_path / "main").mkdir()
    monkeypatch.setenv("AX_WORKDIR", str(tmp_path))
    done = project.cortax("build", "mini", check=False)
    assert done.returncode == 1
    assert (
        f"the Exax server works in the workdir {project.root}/workdirs/main, this shell in {tmp_path}/main"
        in done.stdout
    )
    assert not list(tmp_path.glob("main/main-*/post.json"))


def test_a_page_tells_who_was_left_out_although_nothing_below_ran(project):
    """Early cut-off: the maps are the same bytes, and one more subject is left out."""
    project.edit("studies/mini.toml", "enabled = false", "enabled = true")
    project.run()
    page, scores = project.root / "results/mini/report.html", project.scores()
    assert "sub-9001" not in page.read_text()
    (project.root / "input/mini/sub-9001").mkdir()
    for hemi in "LR":
        name = f"sub-9001/sub-9001_hemi-{hemi}_thickness.npy"
        (project.root / "input/mini" / name).write_bytes(b"cut short")
    run = project.run()
    assert {"load", "report"} <= set(run.made)
    assert {"split", "tune", "evaluate"}.isdisjoint(run.made)
    assert project.scores().equals(scores)
    assert "sub-9001" in project.cortax("results", "mini", "--table", "dropped").stdout
    assert "sub-9001" in page.read_text()
