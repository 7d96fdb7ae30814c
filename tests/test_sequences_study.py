"""Study files of sequences: what they may say, what the plan makes of them, and what is told before anything runs."""

import re

import numpy as np
import pandas as pd
import pytest

from cortax.data.packages import PACKAGES
from cortax.errors import InputError, StudyError
from cortax.payload import open_sealed
from cortax.provenance.closure import closure
from cortax.provenance.files import file_digest
from cortax.workflow.plan.restrict import restrict
from cortax.workflow.workload import Planning, read_study, workload_of
from cortax.workloads.sequences.baselines import predict_baselines
from cortax.workloads.sequences.check import check_sequences
from cortax.workloads.sequences.dataset import Dataset, open_series, save_series
from cortax.workloads.sequences.plan import sequences_jobs, site_options
from cortax.workloads.sequences.predicting import (
    PERIODS,
    open_predictions,
    predict_site,
    save_predictions,
    skill_tables,
)
from cortax.workloads.sequences.reading import read_site
from cortax.workloads.sequences.rivers import write_rivers
from cortax.workloads.sequences.tasks import TrainTask, open_train_task, save_models

STUDY = """
kind = "sequences"
name = "brooks"
title = "Two brooks"

[sites]
files = "{site}.csv"
names = ["upper", "lower"]
train = [2001-01-01, 2001-12-31]
validation = [2002-01-01, 2002-06-30]
test = [2002-07-01, 2002-12-31]
window = 60
warm_up = 10

[inputs]
columns = ["rain"]

[targets.flow]
column = "flow"
transform = "log"
primary = true

[targets.level]
column = "level"

[network]
hidden = 4

[training]
epochs = [2]
factors = [0.0, 0.5]
seeds = 5
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("brooks")
    days = pd.date_range("2001-01-01", "2002-12-31").strftime("%Y-%m-%d")
    for number, site in enumerate(("upper", "lower")):
        rng = np.random.default_rng(number)
        rain = rng.gamma(1.0, 2.0, len(days))
        table = pd.DataFrame({"date": days, "rain": rain, "flow": 1 + np.convolve(rain, [0.5, 0.5])[:-1]})
        table.assign(level=np.log(table["flow"])).to_csv(folder / f"{site}.csv", index=False)
    return folder


def study_of(root, old="", new=""):
    assert old in STUDY
    path = root / "brooks.toml"
    path.write_text(STUDY.replace(old, new, 1) if old else STUDY)
    return read_study(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{site}", "site", r"must have \{site\}"),
        ('"lower"]', '"upper"]', r"\['upper'\] occur more than once"),
        (
            "2001-12-31",
            "2002-01-01",
            "validation begins on 2002-01-01, and train ends on 2002-01-01: periods must not overlap",
        ),
        ("[2002-07-01,", "[2002-12-01,", "test = 2002-12-01 to 2002-12-31: 31 days, fewer than a window of 60"),
        ("warm_up = 10", "warm_up = 60", "warm_up = 60: must be shorter than window = 60 days"),
        ("primary = true", "primary = false", "exactly one must have primary = true. Got none instead"),
        ('column = "level"', 'column = "rain"', r"\['rain'\] occur more than once; a target is no input"),
        ("[0.0, 0.5]", "[0.5, 0.5]", "a factor occurs more than once"),
        ('[targets.level]\ncolumn = "level"\n', "", "factors = .* are of the losses of secondary targets"),
        ("hidden = 4", "hiden = 4", "did you mean 'hidden'"),
        ("hidden = 4", 'kind = "gru"', r"network\.kind"),
        ("hidden = 4", 'kind = "torch"', "kind = 'torch': module is missing, such as 'dev.networks:Gauge'"),
        ("hidden = 4", 'kind = "torch"\nmodule = "a:B"\nhidden = 4', "kind = 'torch': hidden is of the other kind"),
        ("hidden = 4", 'module = "a:B"', "kind = 'lstm': module is of the other kind"),
    ],
)
def test_what_makes_no_sense_is_refused(root, old, new, message):
    with pytest.raises(StudyError, match=message):
        study_of(root, old, new)


def names_of(jobs, method):
    return [job.name for job in jobs if job.method == method]


def test_the_plan_has_sites_by_themselves_up_to_their_skill(root):
    jobs = sequences_jobs(study_of(root), Planning(root, file_digest))
    assert names_of(jobs, "train") == ["train/upper/2", "train/lower/2"]
    assert names_of(jobs, "skill") == ["skill/upper", "skill/lower"]
    assert [job.name for job in jobs[-3:]] == ["choose", "compare", "report"]
    assert len(jobs) == 4 * 2 + 3
    known = set()
    for job in jobs:
        assert job.needs <= known
        known.add(job.name)
    workload = workload_of("sequences")
    narrowed = restrict(jobs, {"site": ["upper"]}, axes=workload.axes, narrowed=workload.narrowed)
    assert {job.name for job in narrowed} == {"site/upper", "train/upper/2", "predict/upper", "skill/upper"}


def test_factors_alone_or_without_zero_are_not_compared(root):
    for factors in ("[0.0]", "[0.5, 1.0]"):
        jobs = sequences_jobs(study_of(root, "[0.0, 0.5]", factors), Planning(root, file_digest))
        assert not {"choose", "compare"} & {job.name for job in jobs}


class Past:
    """Training jobs that are finished."""

    def __init__(self, jobs):
        self.jobs = [job for job in jobs if job.method == "train"]

    def reusable(self, method, study, key):
        return [(dict(job.key), job.options) for job in self.jobs if key.items() <= job.key.items()]

    def finished(self, spec):
        return spec in self.jobs


def test_models_that_were_trained_stay_in_their_job_and_new_ones_get_another(root):
    first = sequences_jobs(study_of(root), Planning(root, file_digest))
    past = Past(first)
    more = sequences_jobs(study_of(root, "seeds = 5", "seeds = 6"), Planning(root, file_digest, past))
    train = [job for job in more if job.method == "train" and job.key["site"] == "upper"]
    assert train[0] == next(job for job in first if job.name == "train/upper/2")
    assert train[1].options["models"] == [[0.0, 6], [0.5, 6]]
    assert next(job for job in more if job.name == "predict/upper").jobs["train"] == [job.name for job in train]
    staged = sequences_jobs(study_of(root, "epochs = [2]", "epochs = [2, 3]"), Planning(root, file_digest, past))
    assert names_of(staged, "train")[:2] == ["train/upper/2", "train/upper/5"]
    assert staged[3].jobs == {"site": "site/upper", "before": "train/upper/2"}
    other = sequences_jobs(study_of(root, "hidden = 4", "hidden = 5"), Planning(root, file_digest, past))
    assert names_of(other, "train") == ["train/upper/2", "train/lower/2"]


def test_what_is_wrong_with_a_table_is_told_before_anything_runs(root, tmp_path):
    study = study_of(root)
    check_sequences(study, root)
    with pytest.raises(InputError, match=r"upper\.csv: missing file, and so are 1 more"):
        check_sequences(study, tmp_path)
    for site in ("upper", "lower"):
        (tmp_path / f"{site}.csv").write_text((root / f"{site}.csv").read_text())
    table = pd.read_csv(root / "lower.csv")
    table.rename(columns={"rain": "rainfall"}).to_csv(tmp_path / "lower.csv", index=False)
    with pytest.raises(InputError, match=r"lower\.csv: no column 'rain'"):
        check_sequences(study, tmp_path)
    table[table["date"] < "2002-12-01"].to_csv(tmp_path / "lower.csv", index=False)
    with pytest.raises(InputError, match="site 'lower': has days from 2001-01-01 to 2002-11-30; test is 2002-07-01"):
        check_sequences(study, tmp_path)


def test_the_code_of_a_module_and_all_that_it_imports_are_in_the_keys_of_what_runs_it(tmp_path, root, monkeypatch):
    (tmp_path / "lab").mkdir()
    (tmp_path / "accelerator.conf").touch()
    (tmp_path / "lab/__init__.py").touch()
    (tmp_path / "lab/networks.py").write_text("import torch\nfrom lab.helper import SIZE\n")
    monkeypatch.setenv("CORTAX_ROOT", str(tmp_path))
    study = study_of(root, "hidden = 4", 'kind = "torch"\nmodule = "lab.networks:Own"\narguments = { depth = 2 }')
    told = []
    for size in (1, 2):
        (tmp_path / "lab/helper.py").write_text(f"SIZE = {size}\n")
        told.append({job.name: job for job in sequences_jobs(study, Planning(root, file_digest))})
    first, second = told
    assert first["train/upper/2"].options["network"] == {
        "kind": "torch", "module": "lab.networks:Own", "arguments": {"depth": 2}
    }  # fmt: skip
    changed = {name for name, job in first.items() if job.options != second[name].options}
    assert changed == {"train/upper/2", "train/lower/2", "predict/upper", "predict/lower"}


def test_studies_without_a_module_depend_on_no_version_of_pytorch(root):
    jobs = sequences_jobs(study_of(root), Planning(root, file_digest))
    assert {str(job.options["code"]) for job in jobs if job.method in ("train", "predict")} == {"{}"}
    modules, elsewhere = closure("methods.sequences.a_train")
    assert "cortax.workloads.sequences.training" in modules
    assert "cortax.workloads.sequences.modules" not in modules
    assert "torch" not in elsewhere


def test_a_module_without_pytorch_is_refused_before_anything_runs(root, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    study = study_of(root, "hidden = 4", 'kind = "torch"\nmodule = "lab.networks:Own"')
    with pytest.raises(StudyError, match=r"network\.kind = 'torch' needs PyTorch: pip install 'cortax\[torch\]'"):
        check_sequences(study, root)


def test_what_may_be_meant_but_hardly_is_is_a_warning(root, tmp_path, capsys):
    study = study_of(root)
    check_sequences(study, root)
    assert capsys.readouterr().out == ""
    (tmp_path / "upper.csv").write_text((root / "upper.csv").read_text())
    table = pd.read_csv(root / "lower.csv")
    table["rain"] *= 1000
    table.loc[table["date"] >= "2002-07-01", "flow"] = 0.1
    table.to_csv(tmp_path / "lower.csv", index=False)
    check_sequences(study, tmp_path)
    first, second = capsys.readouterr().out.splitlines()
    assert first == (
        "warning: study 'brooks': site 'lower': flow is 0.1 on every day of test: NSE and KGE are not defined"
    )
    assert re.match(
        r"warning: study 'brooks': rain: the median of lower is [\d,]+ times that of upper; are they in one unit\?",
        second,
    )


class Made:
    """A job, as methods are handed it."""

    def __init__(self, path):
        path.mkdir()
        self.path = str(path)


def test_a_task_goes_to_another_process_and_its_models_predict(root, tmp_path, monkeypatch):
    study, site, trained, predicted = study_of(root), *(Made(tmp_path / name) for name in ("site", "train", "predict"))
    save_series(site.path, read_site(root, site_options(study, "upper")))
    monkeypatch.setattr("cortax.provenance.outputs.check_all", lambda jobs: None)
    jobs = sequences_jobs(study, Planning(root, file_digest))
    options = jobs[2].options
    task = open_train_task({"site": site, "before": None}, options)
    arrays, about = task.pack()
    for values in arrays.values():
        values.flags.writeable = False
    other = TrainTask.unpack(arrays, about)
    assert [unit.keys for unit in other.units()] == [unit.keys for unit in task.units()]
    assert [len(unit.keys) for unit in task.units()] == [8, 2]
    values = {}
    for number, unit in enumerate(task.units()):
        done = task.do(number)
        assert done == other.do(number)
        values.update(zip(unit.keys, done, strict=True))
        assert open_sealed(unit.keys[0], done[0])
    save_models(trained.path, *task.read(values), options["models"])
    asked = next(job.options for job in jobs if job.name == "predict/upper")
    found = predict_site(site, [trained], asked)
    save_predictions(predicted.path, found)
    parts = {name: open_predictions(predicted.path, name) for name in PERIODS}
    np.testing.assert_array_equal(parts["test"].values, found["test"].values)
    assert np.isnan(parts["test"].values[:, :10]).all()
    assert np.isfinite(parts["test"].values[:, 10:]).all()
    assert (parts["test"].values[:, 10:, 0] > 0).all()
    baselines = predict_baselines(Dataset(open_series(site.path), asked), asked)
    models, means = skill_tables(parts, baselines)
    assert len(models) == 2 * (10 + 5)
    assert len(means) == 2 * (2 + 1 + 2 * 2)
    assert (means["n_days"] == means.groupby("period")["n_days"].transform("first")).all()
    one = models.query("period == 'test' and target == 'flow' and factor == 0.5 and seed == 3").iloc[0]
    observed, predictions = parts["test"].observed[10:, 0], parts["test"].values[7, 10:, 0].astype(np.float64)
    np.testing.assert_allclose(one["rmse"], np.sqrt(np.mean((observed - predictions) ** 2)))
    assert one["n_days"] == 184 - 10


def test_seeds_begin_alike_for_every_factor_and_differ_between_sites(root, tmp_path, monkeypatch):
    study, site = study_of(root), Made(tmp_path / "site")
    save_series(site.path, read_site(root, site_options(study, "upper")))
    monkeypatch.setattr("cortax.provenance.outputs.check_all", lambda jobs: None)
    jobs = sequences_jobs(study, Planning(root, file_digest))
    upper, lower = (open_train_task({"site": site, "before": None}, job.options).models.parameters for job in jobs[2:4])
    np.testing.assert_array_equal(upper[:5], upper[5:])
    assert not np.intersect1d(upper[0], upper[1]).size
    assert not np.intersect1d(upper[0], lower[0]).size


def test_gauges_of_hydpy_become_tables(tmp_path):
    source = tmp_path / "lahn"
    source.mkdir()
    for number, member in enumerate(PACKAGES["hydpy"].members[:-1]):
        begin = 'Timegrid("1989-11-01 00:00:00+01:00",\n         "1989-11-03 00:00:00+01:00",\n         "1d")\n'
        (source / member.name).write_text(begin + f"{number}.5\n{number}.25\n")
    written = write_rivers(source, tmp_path / "rivers")
    assert [path.stem for path in written] == ["marburg", "asslar", "leun", "kalkofen"]
    tables = {path.stem: pd.read_csv(path) for path in written}
    assert tables["leun"]["date"].tolist() == ["1989-11-01", "1989-11-02"]
    np.testing.assert_array_equal(tables["leun"]["neighbour_flow"], tables["kalkofen"]["flow"])
    assert len({tuple(table["flow"]) for table in tables.values()}) == 4
    (source / "lahn_leun_obs_q.asc").write_text("1\n2\n")
    with pytest.raises(InputError, match=r"lahn_leun_obs_q\.asc: must begin with the Timegrid"):
        write_rivers(source, tmp_path / "rivers")
