"""The notebook's face: light to import, in no job's key, and the numbers of scikit-learn and of a study's jobs."""

import doctest
import functools
import inspect
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from documents import DOCS
from freesurfer import write_annot
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler

import cortax
from cortax.data.package_table import PACKAGES
from cortax.errors import AtlasError, FoldError, InputError, ProjectError, SearchError, StudyError
from cortax.learning.cohort import Cohort, save_cohort, save_target
from cortax.learning.folds import fold_parts, save_folds
from cortax.learning.regions import save_regions
from cortax.learning.search.cells import collect
from cortax.learning.search.evaluations import collect_evaluations
from cortax.learning.search.opening import open_problem
from cortax.learning.search.spaces import sample_configs
from cortax.learning.search.store import StoredSearch
from cortax.notebook import NAMES
from cortax.notebook.brain import EMBEDDED
from cortax.provenance import outputs
from cortax.provenance.closure import closure
from cortax.workloads.regions.tasks.evaluate import EvaluationTask
from cortax.workloads.regions.tasks.problem import CutProblem
from cortax.workloads.regions.tasks.search import SearchTask

N = 80


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(3)
    subjects = [f"sub-{number:03d}" for number in range(N)]
    table = pd.DataFrame({"family_id": [f"fam-{number // 2}" for number in range(N)]}, index=subjects)
    return table.assign(age=rng.uniform(20, 40, N), site=np.array(["a", "b"])[np.arange(N) % 2])


@pytest.fixture(scope="module")
def X(people):  # noqa: N802
    values = np.random.default_rng(4).normal(size=(N, 6)).astype(np.float32)
    return pd.DataFrame(values, index=people.index, columns=[f"thickness:{n}" for n in range(6)])


@pytest.fixture(scope="module")
def y(X):
    values = X.to_numpy() @ [1, 0.5, 0, 0, 0, 0] + np.random.default_rng(5).normal(size=N)
    return pd.Series(values, index=X.index, name="fluid")


@pytest.fixture(scope="module")
def folds(people):
    return cortax.make_folds(people, outer=4, inner=3, groups="family_id", seed=7)


@functools.cache
def face():
    return {name: getattr(cortax, name) for name in NAMES}


def test_importing_cortax_is_light_and_shows_the_face():
    code = "import sys, cortax; print(dir(cortax)); print({'numpy', 'pandas', 'sklearn'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert all(f"'{name}'" in shown[0] for name in NAMES)
    assert len(NAMES) < 15
    assert shown[1] == "set()"
    with pytest.raises(AttributeError, match=r"no attribute 'serach'.*'search'"):
        cortax.serach  # noqa: B018


def test_the_face_is_in_no_key_of_a_job():
    for method in ("methods.regions.a_tune", "methods.regions.a_load", "methods.network.a_regress"):
        modules, _ = closure(method)
        assert "cortax" in modules
        assert not [name for name in modules if name.startswith("cortax.notebook")]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project that has a built study, by hand: one job that has scores, and the build's log."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CORTAX_ROOT", str(tmp_path))
    job = tmp_path / "workdirs" / "main" / "main-1"
    job.mkdir(parents=True)
    row = {"study": "demo", "parcellation": "p", "pipeline": "ridge", "target": "fluid"}
    table = pd.DataFrame([{**row, "fold": fold, "metric": "r2", "value": 0.25} for fold in ("0", "mean")])
    table.to_parquet(job / "scores.parquet")
    outputs.record(job, ["scores.parquet"], method="scores", name="demo:scores")
    (tmp_path / "results" / "demo").mkdir(parents=True)
    log = {"kind": "regions", "jobs": {"scores": "main-1"}, "what": {"scores": {"method": "scores", "key": {}}}}
    (tmp_path / "results" / "demo" / "build.json").write_text(json.dumps(log))
    (tmp_path / "accelerator.conf").write_text("")
    (tmp_path / "studies").mkdir()
    shutil.copy(DOCS.parent / "studies" / "demo.toml", tmp_path / "studies")
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_examples_of_the_face_are_true(name, project):
    function = face()[name]
    names = {"cortax": cortax, "np": np, "pd": pd}
    (example,) = doctest.DocTestFinder(recurse=False).find(function, name, globs=names)
    assert example.examples
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example)
    assert not result.failed
    text = inspect.getdoc(function)
    assert all(f"\n{section}\n---" in text for section in ("Parameters", "Returns", "Raises", "Examples"))


def test_search_equals_a_nested_loop_over_scikit_learn(X, y, folds):
    found = cortax.search(X, y, folds, "ridge", n_configs=8, seed=7)
    table = found.evaluate().scores(["r2"]).set_index("fold")["value"]
    grid = {"ridge__alpha": [config["alpha"] for config in found.problem.configs["regression"]]}
    values, expected = y.to_numpy(), []
    for _, train, test, inner in fold_parts(folds.folds, values):
        cv = [(np.searchsorted(train, fit), np.searchsorted(train, held_out)) for fit, held_out in inner]
        model = make_pipeline(RobustScaler(quantile_range=(5, 95)), Ridge())
        search = GridSearchCV(model, grid, scoring="explained_variance", cv=cv)
        search.fit(X.to_numpy(np.float64)[train], values[train])
        expected.append(r2_score(values[test], search.predict(X.to_numpy(np.float64)[test])))
    np.testing.assert_allclose(table.loc[["0", "1", "2", "3"]], expected, rtol=1e-9)
    assert table["mean"] == pytest.approx(np.mean(expected), rel=1e-9)


@pytest.mark.parametrize(("kind", "n_configs"), [("ridge", 5), ("lgbm", 2)])
def test_search_equals_the_jobs_of_a_study(tmp_path, people, X, y, folds, kind, n_configs):
    sex = (y > 0).map({True: "M", False: "F"}).where(np.arange(N) != 3)
    both, seed = pd.DataFrame({"fluid": y, "sex": sex}), 7
    age = people[["age"]]
    mine = cortax.search(X, both, folds, kind, n_configs=n_configs, confounds=age, seed=seed)
    saved = {name: tmp_path / name for name in ("split", "regions", "fluid", "sex")}
    for folder in saved.values():
        folder.mkdir()
    save_cohort(saved["split"], Cohort(tuple(X.index), age.to_numpy(), ("age",), folds.groups))
    save_folds(saved["split"], folds.folds)
    save_regions(saved["regions"], X.to_numpy()[::-1], tuple(X.index)[::-1], tuple(X.columns))
    save_target(saved["fluid"], "fluid", "regression", y)
    save_target(saved["sex"], "sex", "classification", sex.map({"F": 0.0, "M": 1.0}))
    opened = open_problem(
        saved["split"],
        saved["regions"],
        [saved["fluid"], saved["sex"]],
        lambda task: sample_configs(kind, task, n_configs, seed=seed, space={}),
        kind=kind,
        seed=seed,
        plain=False,
    )
    task = SearchTask(CutProblem.of(opened.problem, {}))
    result = collect(task.read(_done(task)), 2, folds.folds, opened.problem.configs)
    np.testing.assert_array_equal(mine.result.scores, result.scores)
    stored = StoredSearch(result.scores, opened.problem.configs, {}, {})
    task = EvaluationTask(task.cut, stored, "best")
    evaluation = collect_evaluations(task.read(_done(task)), 2, folds.folds)
    np.testing.assert_array_equal(mine.evaluate().found.predictions, evaluation.predictions)
    assert np.isfinite(evaluation.predictions).sum() == 2 * N - 1


def _done(task):
    return {key: value for n, unit in enumerate(task.units()) for key, value in zip(unit.keys, task.do(n), strict=True)}


def test_rows_of_other_people_are_refused(X, y, folds):
    swapped = [1, 0, *range(2, N)]
    for bad in ((X.iloc[swapped], y), (X, y.iloc[swapped])):
        with pytest.raises(SearchError, match=r"row 0 is 'sub-001'.*'sub-000'.*people\.index"):
            cortax.search(*bad, folds)
    with pytest.raises(SearchError, match="X has 79 rows, the folds are of 80 people"):
        cortax.search(X.iloc[1:], y, folds)
    with pytest.raises(SearchError, match=r"confounds: 1 people lack one; the first: sub-000"):
        cortax.search(X, y, folds, confounds=pd.DataFrame({"age": y.where(np.arange(N) > 0)}))


def test_sites_are_harmonised_and_must_be_those_of_the_people(X, y, folds):
    site = pd.Series(np.where(np.arange(N) % 8 < 4, "A", "B"), index=X.index)
    covariates = pd.DataFrame({"hand": np.where(np.arange(N) % 3, "l", "r")}, index=X.index)
    sites = {"site": site, "preserve": covariates}
    found = cortax.search(X, y, folds, n_configs=2, harmonise=sites)
    assert found.problem.harmonise.site_names == ("A", "B")
    assert found.problem.harmonise.preserved == ("hand=r",)
    assert (found.result.scores != cortax.search(X, y, folds, n_configs=2).result.scores).any()
    for wrong, why in [
        ({"sites": site}, "did you mean 'site'"),
        ({"preserve": covariates}, "`site` is missing"),
        ({"site": site.where(site.index != "sub-003")}, "1 people lack a site; the first: sub-003"),
        ({"site": site.iloc[1:]}, "harmonise: site has 79 rows"),
        ({"site": site, "unseen": "any"}, "'error', 'pooled'"),
        ({"site": site, "preserve": covariates.where(site == "A")}, "preserved covariates: 40 people lack one"),
        ({"site": "scanner"}, "site: must be values for each person; got the text 'scanner'"),
        ({"site": covariates.assign(site=site)}, r"site: must be one column; got \['hand', 'site'\]"),
        (site, "harmonise must be a mapping .*; got Series"),
        ({"site": site, "preserve": y.rename("copy").to_frame() + 1}, "'copy' .* copy .* of target.* would be told"),
    ]:
        with pytest.raises(SearchError, match=why):
            cortax.search(X, y, folds, n_configs=2, harmonise=wrong)
    known = y.where((site == "A") | (site.index == site.index[site == "B"][0]))
    with pytest.raises(FoldError, match=r"target .*: outer fold 0.*: sites \['B'\] have fewer than two"):
        cortax.search(X, known, folds, n_configs=2, harmonise=sites)


def test_a_wrong_key_says_which_are_allowed(X, y, folds):
    with pytest.raises(StudyError, match=r"pipeline: n_config: unknown key.*did you mean 'n_configs'"):
        cortax.search(X, y, folds, "ridge", n_config=3)
    with pytest.raises(SearchError, match="did you mean 'ridge'"):
        cortax.search(X, y, folds, "rigde")
    with pytest.raises(StudyError, match=r"choose: .*'best' or 'one-standard-error'"):
        cortax.search(X, y, folds, n_configs=2).evaluate("second-best")


def test_classes_are_told_by_their_type(X, y, folds):
    for values in (y > 0, (y > 0).map({True: "yes", False: "no"}), (y > 0).astype("category")):
        assert cortax.search(X, values, folds, n_configs=2).problem.tasks == ("classification",)
    coded = (y > 0).astype(float)
    assert cortax.search(X, coded, folds, n_configs=2).problem.tasks == ("regression",)
    found = cortax.search(X.to_numpy(), coded.to_numpy(), folds, n_configs=2, task="classification").evaluate()
    assert set(found.scores()["metric"]) == {"roc_auc", "matthews_corrcoef", "balanced_accuracy"}


def test_embedded_atlases_are_those_of_the_packages(project):
    files = {member.name for package in PACKAGES.values() if package.folder == "chimera" for member in package.members}
    named = {
        f"tpl-fsaverage_hemi-{hemi}_den-164k_atlas-{atlas}_dseg.label.annot"
        for atlas in EMBEDDED.values()
        for hemi in "LR"
    }
    assert named == {name for name in files if name.endswith(".annot")}
    with pytest.raises(AtlasError, match=r"run `cortax data` first; missing: \['.*hemi-L.*scale-100"):
        cortax.load_atlas("schaefer-100")
    labels = np.arange(163842) % 34
    for hemi in ("L", "R"):
        name = f"tpl-fsaverage_hemi-{hemi}_den-164k_atlas-Schaefer2018_seg-7n_scale-100_dseg.label.annot"
        write_annot(project / "input/packages/chimera" / name, labels, f"{hemi.lower()}h")
    atlas = cortax.load_atlas("schaefer-100")
    assert (atlas.n_regions, atlas.space.name) == (68, "fsaverage5")
    np.testing.assert_array_equal(atlas.sizes[:34], np.bincount(labels[:10242]))


@pytest.mark.parametrize(
    ("name", "n_regions"), [("voronoi-20", 20), ("random-growth-20", 20), ("ward-20", 20), ("icosahedral-24", 24)]
)
def test_generated_atlases_by_name(name, n_regions):
    assert cortax.load_atlas(name).n_regions == n_regions


def test_unknown_atlases_say_which_there_are():
    with pytest.raises(AtlasError, match="did you mean 'schaefer-100'"):
        cortax.load_atlas("schafer-100")
    with pytest.raises(AtlasError, match=r"has \[24, 84, 324, 1284, 5124\] regions. Got 100 instead"):
        cortax.load_atlas("icosahedral-100")


def test_people_who_are_not_there(tmp_path, people):
    people.to_csv(tmp_path / "people.tsv", sep="\t", index_label="participant_id")
    kept = cortax.read_phenotypes(tmp_path / "people.tsv", subjects=["sub-003", "sub-900", "sub-001"])
    assert list(kept.index) == ["sub-003", "sub-001"]
    with pytest.raises(InputError, match="has none of the subjects"):
        cortax.read_phenotypes(tmp_path / "people.tsv", subjects=["3"])
    with pytest.raises(InputError, match=r"stratify: no such column: got 'sit', .*did you mean 'site'"):
        cortax.make_folds(people, stratify="sit")


def test_results_of_a_study_that_was_not_built(project):
    with pytest.raises(ProjectError, match="did you mean 'demo'"):
        cortax.results("dmeo")


def test_the_notebook_of_the_readme_runs(project):
    (block,) = re.findall(r"```python\n(import cortax\n.*?)```", (DOCS.parent / "README.md").read_text(), re.S)
    names = {"__name__": "block"}
    exec(block, names)
    assert np.isfinite(names["scores"]["value"]).all()
    assert len(names["table"]) == 2
