"""`cortax plan` says what the next build does, and `--restrict` narrows both."""

import json
import re

import pandas as pd
import pytest

pytestmark = pytest.mark.slow

STUDY = "studies/mini.toml"
OLD = '[targets.old]\nkind = "regression"\ncolumn = "age"\n\n'


@pytest.fixture
def mended(project):
    """Put the study back after the test, and what it had found."""
    text = (project.root / STUDY).read_text()
    yield
    project.write(STUDY, text)
    assert project.run().made == []


def planned(project, *arguments):
    """What `cortax plan` prints: the names of jobs that would run, with the reasons; and the sentences below."""
    lines = project.cortax("plan", "mini", "--all", *arguments).stdout.splitlines()
    rows = [re.split(r"  +", line.strip()) for line in lines]
    jobs = {row[0]: row[-1] for row in rows if "/" in row[0] or row[0] in ("load", "phenotype", "split", "scores")}
    return jobs, "\n".join(lines)


def test_nothing_would_run_after_a_build_and_no_server_is_needed(project):
    project.cortax("down")
    jobs, text = planned(project)
    assert jobs == {}
    assert "12 jobs, 12 units" in text
    assert "nothing would run" in text
    project.cortax("up")


def test_what_is_planned_is_what_runs(project, mended):
    project.edit(STUDY, "[splits]", OLD + "[splits]")
    jobs, text = planned(project)
    assert jobs["target/old"] == "new"
    assert jobs["tune/soft/ridge/old"] == "target/old runs first" or jobs["tune/soft/ridge/old"] == "new"
    assert "8 would run, 6 units" in text
    project.run()
    assert set(project.build_log()["ran"]) == set(jobs)


def test_code_that_no_server_has_loaded(project):
    project.edit("cortax/learning/scores.py", "__all__ =", "CHANGED = 1\n__all__ =")
    jobs, text = planned(project)
    assert jobs["evaluate/soft/ridge"] == "cortax/learning/scores.py changed"
    assert jobs["scores"] == "evaluate/blocks/ridge and 1 more runs first"
    assert "1 of them only if what they need turns out otherwise than before" in text
    assert project.run().made == ["evaluate", "evaluate"]
    assert planned(project)[0] == {}


def test_inputs_and_damage(project):
    path = project.root / "input/mini/participants.tsv"
    table = pd.read_csv(path, sep="\t")
    table["handedness"] = "right"
    table.to_csv(path, sep="\t", index=False)
    jobs, text = planned(project)
    assert jobs["phenotype"].startswith("option digests.input/mini/participants.tsv: ")
    assert jobs["target/sex"].startswith("option digests.input/mini/participants.tsv: ")
    assert jobs["split"] == "phenotype runs first"
    assert len(jobs) == 9
    assert "6 of them only if" in text
    assert project.run().made == ["phenotype", "target", "target"]
    (project.job("parcellate/soft") / "regions.npy").unlink()
    jobs, _ = planned(project)
    assert jobs["parcellate/soft"] == "its results are damaged: regions.npy is missing"
    project.run()


def test_a_restricted_build_files_nothing(project, mended):
    before, log, urd = project.scores(), project.build_log(), project.ax("urd", "mini").stdout
    project.edit(STUDY, "n_configs = 3", "n_configs = 5")
    only = ("--restrict", "parcellation=so*,pipeline=ridge")
    jobs, _ = planned(project, *only)
    assert set(jobs) == {"tune/soft/ridge", "evaluate/soft/ridge"}
    done = project.cortax("build", "mini", *only)
    assert re.findall(r"^   - (\S+)\s+(?:DONE|MAKE)", re.sub(r"\x1b\[[0-9;]*[mK]", "", done.stdout), re.M) == [
        "tune",
        "evaluate",
    ]
    assert "results are filed by a build without --restrict" in done.stdout
    pd.testing.assert_frame_equal(project.scores(), before)
    assert (project.build_log(), project.ax("urd", "mini").stdout) == (log, urd)
    run = project.run()
    assert run.made == ["tune", "evaluate", "scores"], "the other parcellation"
    assert json.loads((project.job("tune/soft/ridge") / "setup.json").read_text())["options"]["n_configs"] == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plan", "minni"), "no such study; studies/ holds ['mini']"),
        (
            ("plan", "mini", "--restrict", "pipeline=rigde"),
            "got 'rigde', must be one of ['ridge']; did you mean 'ridge'",
        ),
        (("build", "mini", "--restrict", "pipelines=ridge"), "did you mean 'pipeline'"),
        (("build", "mini", "--restrict", "fold=1"), "no job is of one fold: they are of all together"),
    ],
)
def test_what_is_asked_wrongly_is_answered_in_one_line(project, arguments, said):
    done = project.cortax(*arguments, check=False)
    assert done.returncode == 1
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
