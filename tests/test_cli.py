"""What people see of results: which rows, in which order, and the words of the command."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from cortax import cli
from cortax.errors import ProjectError, StudyError
from cortax.provenance import outputs
from cortax.workflow.lookup.results import build_log, filtered, read_table
from cortax.workloads.regions.tables import best, left_out, summary

VALUES = {
    # target, metric: value of each parcellation
    ("fluid", "mean_squared_error"): {"blocks": 2.0, "soft": 1.0, "tiny": 3.0},
    ("fluid", "r2"): {"blocks": 0.2, "soft": 0.1, "tiny": 0.3},
    ("sex", "roc_auc"): {"blocks": 0.6, "soft": 0.8, "tiny": 0.7},
    ("sex", "brier_score"): {"blocks": 0.25, "soft": 0.3, "tiny": 0.2},
}


def scores():
    rows = []
    for parcellation in ("blocks", "soft", "tiny"):
        for (target, metric), values in VALUES.items():
            for fold, change in (("0", -0.01), ("1", 0.01), ("mean", 0.0)):
                value = values[parcellation] + change
                about = {"study": "mini", "parcellation": parcellation, "pipeline": "ridge", "target": target}
                more = {"metric": metric, "fold": fold, "value": value, "low": value - 0.1, "high": value + 0.1}
                rows.append({**about, **more, "n_subjects": 24})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("conditions", "n_rows"),
    [
        ([], 36),
        (["target=sex"], 18),
        (["target=sex", "parcellation=so*"], 6),
        (["parcellation=blocks,t?ny", "fold=mean"], 8),
        (["n_subjects=24"], 36),
        (["target=Sex"], 0),
    ],
)
def test_rows_that_meet_every_condition(conditions, n_rows):
    table = filtered(scores(), conditions)
    assert len(table) == n_rows
    for condition in conditions:
        column, _, pattern = condition.partition("=")
        assert all(str(value)[0] in {part[0] for part in pattern.split(",")} for value in table[column])


def test_a_value_may_hold_an_equals_sign():
    table = scores().assign(target="site=b")
    assert len(filtered(table, ["target=site=b"])) == len(table)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("sex", "--where 'sex': must look like column=value"),
        ("taget=sex", "--where 'taget=sex': got 'taget', must be one of .* did you mean 'target'"),
    ],
)
def test_conditions_that_cannot_be_met(condition, said):
    with pytest.raises(StudyError, match=said):
        filtered(scores(), [condition])


def test_summary_puts_the_best_first_whether_large_or_small():
    table = summary(scores())
    order = {key: list(part["parcellation"]) for key, part in table.groupby(["target", "metric"])}
    assert order == {
        ("fluid", "mean_squared_error"): ["soft", "blocks", "tiny"],
        ("fluid", "r2"): ["tiny", "blocks", "soft"],
        ("sex", "brier_score"): ["tiny", "blocks", "soft"],
        ("sex", "roc_auc"): ["soft", "tiny", "blocks"],
    }
    assert list(table["target"]) == sorted(table["target"])
    assert table["interval"][0] == "0.900 to 1.100"


def test_best_is_by_the_first_metric_reported():
    found = best(scores()).set_index("target")
    assert found.loc["fluid", ["metric", "parcellation", "value"]].tolist() == ["mean_squared_error", "soft", 1.0]
    assert found.loc["sex", ["metric", "parcellation", "value"]].tolist() == ["roc_auc", "soft", 0.8]


def test_a_score_that_does_not_exist_is_last():
    table = scores()
    table.loc[(table["parcellation"] == "tiny") & (table["metric"] == "r2"), "value"] = float("nan")
    part = summary(table)
    assert list(part[part["metric"] == "r2"]["parcellation"]) == ["blocks", "soft", "tiny"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project where one study has been built."""
    (tmp_path / "accelerator.conf").touch()
    (tmp_path / "studies").mkdir()
    (tmp_path / "results" / "mini").mkdir(parents=True)
    job = tmp_path / "workdirs" / "main" / "main-3"
    job.mkdir(parents=True)
    scores().to_parquet(job / "scores.parquet")
    outputs.record(job, ["scores.parquet"], method="scores", name="mini/scores")
    ran = {"scores": {"job": "main-3", "seconds": 1.25, "why": ["inputs changed: evaluate"], "same_as": "main-1"}}
    what = {name: {"method": name, "key": {}} for name in ("load", "split", "scores")}
    jobs = {"load": "main-0", "split": "main-2", "scores": "main-3"}
    log = {"kind": "regions", "jobs": jobs, "what": what, "ran": ran}
    (tmp_path / "results" / "mini" / "build.json").write_text(json.dumps(log))
    for job, rows in (("main-0", "sub-7,no file,a.npy\n"), ("main-2", "sub-9,lacks images,\nsub-7,lacks images,\n")):
        (tmp_path / "workdirs" / "main" / job).mkdir(parents=True)
        (tmp_path / "workdirs" / "main" / job / "dropped.csv").write_text(f"participant_id,reason,file\n{rows}")
    (tmp_path / "deep" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "below")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(cli.app, ["results", *arguments])


def test_results_of_a_build_are_found_from_any_folder(root):
    assert len(read_table(root, "mini")) == 36
    done = run("mini", "--where", "target=fluid", "--where", "metric=r2")
    assert done.exit_code == 0
    assert [line.split()[2] for line in done.stdout.splitlines() if " r2 " in line] == ["tiny", "blocks", "soft"]
    assert done.stdout.endswith("3 rows\n")
    assert run("mini", "--folds").stdout.endswith("36 rows\n")


def test_rows_are_sorted_as_asked(root):
    lines = run("mini", "--where", "metric=r2", "--sort", "value").stdout.splitlines()
    assert [line.split()[2] for line in lines if " r2 " in line] == ["soft", "blocks", "tiny"]
    lines = run("mini", "--sort", "metric", "--sort", "-parcellation").stdout.splitlines()
    assert [line.split()[2] for line in lines if " r2 " in line] == ["tiny", "soft", "blocks"]
    assert "did you mean 'value'" in str(run("mini", "--sort", "valu").exception)


def test_rows_are_written_as_shown_with_every_column(root, tmp_path):
    done = run("mini", "--where", "metric=r2", "--sort", "value", "--to", str(tmp_path / "r2.csv"))
    assert done.stdout.strip() == f"{tmp_path / 'r2.csv'}: 3 rows"
    found = pd.read_csv(tmp_path / "r2.csv")
    assert found["parcellation"].tolist() == ["soft", "blocks", "tiny"]
    assert found["low"].tolist() == pytest.approx([0.0, 0.1, 0.2])
    assert set(scores().columns) == set(found.columns)
    run("mini", "--where", "metric=r2", "--to", str(tmp_path / "r2.tex"))
    assert "tiny & ridge & 0.300 & 0.200 to 0.400 & 24" in (tmp_path / "r2.tex").read_text()
    run("mini", "--folds", "--to", str(tmp_path / "all.parquet"))
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "all.parquet"), scores(), check_exact=True)


def test_best_says_how_many_were_left_out_and_where_to_look(root):
    text = run("mini", "--best").stdout
    assert "2 subjects were left out" in text
    assert "ax urd :mini:" in text
    assert text.count(" ridge ") == 2


def test_the_first_reason_counts(root):
    assert left_out(root, build_log(root, "mini")).values.tolist() == [
        ["sub-7", "no file", "a.npy"],
        ["sub-9", "lacks images", ""],
    ]
    assert "no file" in run("mini", "--table", "dropped").stdout


def test_why_names_job_seconds_and_what_stands_for_it(root):
    text = " ".join(run("mini", "--why").stdout.split())
    assert "scores main-3 1.2 inputs changed: evaluate (same results as main-1) 1 of 3 jobs ran" in text


@pytest.mark.parametrize("look", [read_table, build_log])
def test_a_study_that_was_not_built(root, look):
    with pytest.raises(ProjectError, match=r"no results of study 'minni': .*did you mean 'mini'"):
        look(root, "minni")


def test_an_altered_table_is_not_shown(root):
    path = root / "workdirs" / "main" / "main-3" / "scores.parquet"
    table = pd.read_parquet(path)
    table.assign(value=0.99).to_parquet(path)
    done = run("mini", "--best")
    assert isinstance(done.exception, ProjectError)
    assert "scores.parquet has" in str(done.exception)
    assert "cortax verify" in str(done.exception)
    assert "0.99" not in done.output


def test_nothing_was_built(root):
    (root / "results" / "mini" / "build.json").unlink()
    with pytest.raises(ProjectError, match="no study has been built yet"):
        read_table(root, "mini")


def test_a_table_that_the_study_does_not_have_is_said(root):
    said = "has no comparisons: put [comparisons] into its file"
    assert said in str(run("mini", "--table", "comparisons").exception)
    assert "got 'scors', must be one of ['comparisons', " in str(run("mini", "--table", "scors").exception)
    assert "no values that could be compared" in str(run("mini", "--table", "dropped", "--against", "x").exception)


def test_few_rows_are_printed_and_the_rest_is_counted(root):
    text = run("mini", "--rows", "2").stdout
    assert text.count(" ridge ") == 2
    assert text.endswith("of 12; --to writes all\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["results", "mini", "--where", "sex"], "cortax: --where 'sex': must look like column=value"),
        (["build", "gone"], "cortax: gone: no such study; studies/ holds []"),
        (["build", "/etc/gone.toml"], "cortax: /etc/gone.toml: no such study"),
    ],
)
def test_errors_are_one_line_and_status_one(root, monkeypatch, capsys, arguments, said):
    monkeypatch.setattr("sys.argv", ["cortax", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith(said)
    assert error.count("\n") == 1


def test_a_study_outside_the_project_is_refused(root, tmp_path_factory, monkeypatch, capsys):
    other = tmp_path_factory.mktemp("other") / "x.toml"
    other.touch()
    monkeypatch.setattr("sys.argv", ["cortax", "build", str(other)])
    with pytest.raises(SystemExit):
        cli.main()
    assert "a study file must lie in the project" in capsys.readouterr().err


def test_outside_a_project(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["cortax", "results", "mini"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "not inside a cortax project" in capsys.readouterr().err
