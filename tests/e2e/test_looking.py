"""Where people look afterwards: urd, datasets, provenance, results."""

import json
import tarfile

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score, roc_auc_score

pytestmark = pytest.mark.slow


def test_urd_knows_the_build_by_its_study(project):
    listed = project.ax("urd", "mini")
    assert "mini" in project.ax("urd").stdout
    assert listed.returncode == 0
    shown = project.ax("urd", ":mini:").stdout
    for name in ("load", "parcellate/blocks", "tune/blocks/ridge", "evaluate/soft/ridge", "scores"):
        assert name in shown
    one = project.ax("urd", ":mini:evaluate/blocks/ridge").stdout
    assert project.jobs()["evaluate/blocks/ridge"] in one


def test_scores_are_a_dataset(project):
    shown = project.ax("ds", ":mini:scores")
    assert shown.returncode == 0, shown.stderr
    n_rows = len(project.scores())
    assert f"{n_rows} line" in shown.stdout
    grep = project.ax("grep", "--format", "csv", "roc_auc", ":mini:scores", "parcellation", "metric", "value")
    rows = grep.stdout.strip().splitlines()
    assert len(rows) == (project.scores()["metric"] == "roc_auc").sum()


def test_a_job_tells_its_options_inputs_files_and_code(project):
    job = project.job("parcellate/blocks")
    shown = project.ax("job", job.name).stdout
    for word in ("parcellate", "blocks.npy", "load", "regions.npy", "outputs.json"):
        assert word in shown
    with tarfile.open(job / "method.tar.gz") as archive:
        manifest = next(m for m in archive.getmembers() if m.name.endswith(".txt"))
        text = archive.extractfile(manifest).read().decode()
    assert " cortax/brain/parcellation/apply.py\n" in text
    assert "\nnumpy " in text


def test_results_print_filter_and_tell_why(project):
    table = project.cortax("results", "mini").stdout
    assert "blocks" in table
    assert "fluid" in table
    only = project.cortax("results", "mini", "--where", "target=sex", "--where", "parcellation=so*", "--folds").stdout
    assert "blocks" not in only
    assert only.strip().endswith("4 rows")
    why = project.cortax("results", "mini", "--why").stdout
    assert "12 of 12 jobs ran" in why
    assert "new" in why


def test_scores_can_be_made_of_the_table_of_predictions(project):
    project.cortax("results", "mini", "--table", "predictions", "--to", "predictions.parquet")
    table = pd.read_parquet(project.root / "predictions.parquet")
    assert len(table) == 2 * 2 * 24, "parcellations x targets x subjects, each tested once"
    people = pd.read_csv(project.root / "input/mini/participants.tsv", sep="\t", index_col="participant_id")
    by_target = dict(list(table.groupby("target")))
    fluid, sex = by_target["fluid"], by_target["sex"]
    np.testing.assert_array_equal(fluid["observed"], people["fluid"].loc[fluid["participant_id"]])
    assert list(sex["observed_class"]) == list(people["sex"].loc[sex["participant_id"]])
    assert (sex["predicted"] == (sex["predicted_class"] == "F")).all()
    assert set(fluid["group"]) == set(people["family_id"])
    scores = project.scores().set_index(["parcellation", "target", "fold"])["value"]
    for (parcellation, target, fold), part in table.groupby(["parcellation", "target", "fold"]):
        if target == "fluid":
            value = r2_score(part["observed"], part["predicted"])
        else:
            value = roc_auc_score(part["observed"], part["probability"])
        assert value == pytest.approx(scores[parcellation, target, fold], abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("results", "minni"), "no results of study 'minni': got 'minni', must be one of ['mini']"),
        (("results", "mini", "--where", "taget=sex"), "did you mean 'target'"),
        (("results", "mini", "--where", "sex"), "must look like column=value"),
        (("build", "minni"), "no such study; studies/ holds ['mini']"),
        (("build", "/etc/passwd.toml"), "no such study"),
    ],
)
def test_what_is_asked_wrongly_is_answered_in_one_line(project, arguments, said):
    done = project.cortax(*arguments, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_build_starts_the_server_and_prints_the_table(project):
    project.cortax("down")
    done = project.cortax("build", "mini")
    assert "best mean over folds" in done.stdout
    assert "cortax results mini --why" in done.stdout


def test_doctor_finds_this_machine_fit_and_says_what_is_not(project):
    good = project.cortax("doctor").stdout
    assert "ok   project" in good
    assert "ok   server: up" in good
    sockets = project.root / ".socket.dir"
    sockets.chmod(0o755)
    bad = project.cortax("doctor", "--dry-run", check=False)
    assert bad.returncode == 1
    assert [line for line in bad.stdout.splitlines() if line.startswith("BAD ") and "755" in line], bad.stdout
    assert sockets.stat().st_mode & 0o777 == 0o755
    mended = project.cortax("doctor").stdout
    assert [line for line in mended.splitlines() if line.startswith("FIX ") and "755" in line], mended
    assert sockets.stat().st_mode & 0o777 == 0o700


def test_the_log_of_a_build_is_json(project):
    log = project.build_log()
    assert set(log) == {"kind", "jobs", "what", "ran", "failed", "skipped", "lacking"}
    assert log["kind"] == "regions"
    assert log["what"].keys() == log["jobs"].keys()
    assert log["what"]["tune/soft/ridge"] == {
        "method": "tune",
        "key": {"parcellation": "soft", "pipeline": "ridge"},
    }
    assert (log["failed"], log["skipped"]) == ([], {})
    json.dumps(log)
