"""The documentation: keys are the models', studies are valid, Python runs; commands are run by e2e/test_pages.py."""

import dataclasses
import functools
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
from pathlib import Path

import documents
import numpy as np
import pytest
from documents import ADDED, DOCS, EXAMPLE
from freesurfer import write_freesurfer
from sklearn.utils.estimator_checks import check_estimator

import cortax
from cortax.brain.parcellation.specs import check_spec
from cortax.cli.app import add_workload_commands, app
from cortax.learning.search.spaces import search_space
from cortax.notebook import NAMES
from cortax.provenance import file_digest
from cortax.workflow.task import Task
from cortax.workflow.work.settings import read_settings
from cortax.workflow.workload import Planning, Workload, read_study
from cortax.workloads.regions.check import check_study
from cortax.workloads.regions.plan.plan import regions_jobs
from cortax.workloads.regions.study.study import RegionsStudy

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = DOCS.parent
BLOCKS = [block for path in documents.pages() for block in documents.blocks(path)]
LANGUAGES = {"console", "python", "toml", "text"}


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("docs")
    write_freesurfer(root)
    return root


def test_every_page_is_in_the_navigation_and_every_block_is_one_that_runs():
    assert sorted(documents.pages()) == sorted(DOCS.rglob("*.md"))
    assert len(BLOCKS) > 40
    for block in BLOCKS:
        assert block.language in LANGUAGES, f"{block.page}: {block.language!r} is run by no test"
        assert "```" not in block.text
    n_fences = sum(path.read_text().count("```") for path in documents.pages())
    assert n_fences == 2 * len(BLOCKS), "a block whose first line is not understood"


def test_every_key_of_a_study_is_documented(hooks):
    hooks.meanings()
    page = hooks.on_page_markdown((DOCS / "reference/study-file.md").read_text())
    models = hooks.study_models()
    assert set(models) >= {"", "images", "pipelines.strategy", "evaluate.metrics", "statistics", "scaling"}
    for place, model in models.items():
        assert f"<!-- study-section{': ' * bool(place)}{place} -->" in (DOCS / "reference/study-file.md").read_text()
        for key in model.model_fields:
            assert f"| `{key}` |" in page, f"{place}.{key}"
    assert "<!--" not in page


def test_a_key_that_nobody_documented_is_an_error(hooks, tmp_path, monkeypatch):
    text = hooks.MEANINGS.read_text()
    for changed in (text.replace('n_outer = "', 'n_outter = "'), text + '\n[fantasy]\na = "b"\n'):
        (tmp_path / "keys.toml").write_text(changed)
        monkeypatch.setattr(hooks, "MEANINGS", tmp_path / "keys.toml")
        with pytest.raises(ValueError, match=r"n_outter|fantasy"):
            hooks.meanings()


def test_every_command_and_option_is_documented(hooks):
    page = hooks.on_page_markdown((DOCS / "reference/command-line.md").read_text())
    add_workload_commands(app)
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        assert f"## cortax {name}\n" in page
    for option in ("--restrict", "--dry-run", "--older-than", "--over-targets"):
        assert f"`{option}`" in page


def test_the_library_reference_has_the_face_and_what_it_returns(hooks):
    shown = hooks.on_page_markdown((DOCS / "reference/library.md").read_text())
    assert re.findall(r"^## cortax\.(\w+)$", shown, re.M) == list(NAMES)
    listed = re.findall(r"^::: (\S+)$", shown, re.M)
    assert listed[: len(NAMES)] == [f"{module}.{name}" for name, module in NAMES.items()]
    returned = {pkgutil.resolve_name(name).__name__ for name in listed[len(NAMES) :]}
    told = {inspect.get_annotations(getattr(cortax, name))["return"] for name in NAMES}
    assert returned | {"Any", "pd.DataFrame", "list[LeakFinding]", "ModelEvaluation"} == told | {"ModelEvaluation"}


def test_the_workload_of_the_pages_is_the_toy():
    page = (DOCS / "how-to/workload.md").read_text()
    (contract,) = (block.text for block in BLOCKS if block.page == "how-to/workload.md" and block.language == "python")
    assert contract in (ROOT / "tests/toy/toy/__init__.py").read_text()
    for name, n_lines in re.findall(r"^\| `(toy[\w/*.]+)` .*\| (\d+) \|$", page, re.M):
        files = sorted((ROOT / "tests/toy").glob(name))
        assert sum(len(path.read_text().splitlines()) for path in files) == int(n_lines), name
    for field in dataclasses.fields(Workload):
        assert re.search(rf"^\|.*`{field.name}`", page, re.M), field.name
    for name in ("units", "do", "pack", "unpack"):
        assert hasattr(Task, name)
        assert f"| `{name}(" in page
    method = next(block.text for block in BLOCKS if block.language == "text" and block.page == "how-to/workload.md")
    # Where tests make a project that has the toy, with the same line.
    assert method.strip() in (ROOT / "tests/e2e/conftest.py").read_text()
    points = next(block.text for block in BLOCKS if block.title == "pyproject.toml, example")
    installed = (ROOT / "tests/toy/toy-1.0.dist-info/entry_points.txt").read_text().split()
    assert tomllib.loads(points)["project"]["entry-points"]["cortax.workloads"] == {installed[1]: installed[3]}


def test_studies_of_the_pages_are_valid(tmp_path):
    texts = {}
    for block in BLOCKS:
        if block.language != "toml" or block.title.endswith(EXAMPLE):
            continue
        file = block.title.removesuffix(ADDED)
        path = tmp_path / Path(file).name
        texts[file] = texts[file] + block.text if block.title.endswith(ADDED) else block.text
        path.write_text(texts[file])
        if file == "cortax.toml":
            assert read_settings(tmp_path).workers == 2
            continue
        study = read_study(path)
        if not isinstance(study, RegionsStudy):
            continue
        for spec in study.parcellations.values():
            check_spec(spec)
        for pipeline in study.pipelines.values():
            for task in ("regression", "classification"):
                search_space(pipeline.kind, task, pipeline.space)
    assert {"studies/own.toml", "cortax.toml"} <= set(texts)
    assert {"[importance]", "[scaling]", "[comparisons]", "[statistics]"} <= set(texts["studies/own.toml"].split("\n"))


def test_numbers_of_jobs_and_cells_in_the_pages_are_those_of_the_plan(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    text, checked = "", 0
    digests = functools.cache(file_digest)
    for block in BLOCKS:
        if block.title.removesuffix(ADDED) == "studies/own.toml":
            text = text + block.text if block.title.endswith(ADDED) else block.text
        elif block.page == "how-to/parcellations.md" and block.language == "python":
            exec(compile(block.text, block.page, "exec"), {"__name__": "block"})
        elif found := re.findall(r"^(\d+) jobs, (\d+) units", block.text, re.M):
            # The class of the pages is no part of this checkout.
            path = tmp_path / "own.toml"
            path.write_text(text.replace("dev.models:CloseOnes", "sklearn.neighbors:KNeighborsRegressor"))
            study = read_study(path)
            jobs = regions_jobs(study, Planning(folder, digests))
            n_searches = sum(job.method == "tune" for job in jobs)
            n_cells = n_searches * len(study.targets) * study.splits.n_outer
            assert set(found) == {(str(len(jobs)), str(n_cells))}, f"{block.page}: {len(jobs)} jobs, {n_cells} units"
            checked += 1
    assert checked >= 4


PYTHON = [
    block
    for block in BLOCKS
    if block.language == "python" and block.title != "after a build" and not block.title.endswith((ADDED, EXAMPLE))
]


@pytest.mark.parametrize("page", sorted({block.page for block in PYTHON}))
def test_python_of_the_pages_runs(page, folder, monkeypatch):
    monkeypatch.chdir(folder)
    for block in PYTHON:
        if block.page == page:
            exec(compile(documents.script(block), page, "exec"), {"__name__": "block"})


@pytest.mark.parametrize("name", ["one-file", "connectivity", "freesurfer-tables"])
def test_the_study_of_a_page_can_be_built_of_the_files_that_the_page_makes(name, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    own = [block for block in BLOCKS if block.page == f"how-to/{name}.md"]
    last = [block for block in own if block.language == "python"][-1]
    exec(compile(documents.script(last), name, "exec"), {"__name__": "block"})
    blocks = [block for block in own if block.language == "toml"]
    path = tmp_path / Path(blocks[0].title).name
    path.write_text("".join(block.text for block in blocks))
    study = read_study(path)
    check_study(study, folder)
    jobs = regions_jobs(study, Planning(folder, functools.cache(file_digest)))
    assert [job.key["parcellation"] for job in jobs if job.method == "tune"] == study.region_sets


def test_models_of_the_pages_keep_scikit_learns_contract(tmp_path, monkeypatch):
    block = next(block for block in BLOCKS if block.title == "dev/models.py")
    (tmp_path / "models_of_pages.py").write_text(block.text)
    monkeypatch.syspath_prepend(tmp_path)
    model = importlib.import_module("models_of_pages").CloseOnes()
    failed = [
        check["check_name"]
        for check in check_estimator(model, on_fail=None, on_skip=None)
        if check["status"] == "failed"
    ]
    assert failed == []


def test_the_metric_of_the_pages_is_what_it_says():
    block = next(block for block in BLOCKS if block.title == f"cortax/learning/scores.py{ADDED}")
    namespace = {"__name__": "scores"}
    exec((ROOT / "cortax/learning/scores.py").read_text().replace("from __future__ import annotations", ""), namespace)
    exec(block.text, namespace)
    rng = np.random.default_rng(0)
    y, predicted = rng.normal(size=(2, 50))
    weights = np.stack([np.ones(50), rng.multinomial(50, np.full(50, 0.02))]).astype(float)
    found = namespace["get_metric"]("large_errors", "regression").formula(y, predicted, namespace["Resamples"](weights))
    for row, drawn in zip(found, weights.astype(int), strict=True):
        truth, said = np.repeat(y, drawn), np.repeat(predicted, drawn)
        assert row == pytest.approx(np.mean(np.abs(truth - said) > truth.std()))


def test_links_between_pages_lead_somewhere():
    for path in documents.pages():
        for link in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", path.read_text()):
            if link and not link.startswith("https://"):
                assert (path.parent / link).resolve().is_file(), f"{path.relative_to(DOCS)}: {link}"
