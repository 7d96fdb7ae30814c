"""The documentation: keys are the models', studies are valid, Python runs; commands are run by e2e/test_pages.py."""

import functools
import importlib
import importlib.util
import re
from pathlib import Path

import documents
import numpy as np
import pytest
from documents import ADDED, DOCS
from freesurfer import write_freesurfer
from sklearn.utils.estimator_checks import check_estimator

from cortax.cli import app
from cortax.grid.planning.plan import plan
from cortax.grid.work.settings import read_settings
from cortax.parcellation.specs import check_spec
from cortax.provenance import file_digest
from cortax.search.spaces import search_space
from cortax.study import Study, read_any_study, read_study

ROOT = DOCS.parent
BLOCKS = [block for path in documents.pages() for block in documents.blocks(path)]
LANGUAGES = {"console", "python", "toml"}


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
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        assert f"## cortax {name}\n" in page
    for option in ("--restrict", "--dry-run", "--older-than", "--over-targets"):
        assert f"`{option}`" in page


def test_every_public_module_is_in_the_library_reference(hooks):
    shown = "\n".join(
        hooks.on_page_markdown(path.read_text()) for path in sorted((DOCS / "reference/library").glob("*.md"))
    )
    # What runs jobs and draws pages is for those who work on cortax itself.
    inner = {"cli", "grid", "parallel", "report"}
    for path in sorted((ROOT / "cortax").glob("*/*.py")) + sorted((ROOT / "cortax").glob("*.py")):
        place = path.relative_to(ROOT).with_suffix("")
        if place.name != "__init__" and place.parts[1] not in inner:
            assert f"::: {'.'.join(place.parts)}" in shown.split("\n"), place


def test_studies_of_the_pages_are_valid(tmp_path):
    texts = {}
    for block in BLOCKS:
        if block.language != "toml":
            continue
        file = block.title.removesuffix(ADDED)
        path = tmp_path / Path(file).name
        texts[file] = texts[file] + block.text if block.title.endswith(ADDED) else block.text
        path.write_text(texts[file])
        if file == "cortax.toml":
            assert read_settings(tmp_path).workers == 2
            continue
        study = read_any_study(path)
        if not isinstance(study, Study):
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
        elif found := re.findall(r"^(\d+) jobs, (\d+) cells", block.text, re.M):
            # The class of the pages is no part of this checkout.
            path = tmp_path / "own.toml"
            path.write_text(text.replace("dev.models:CloseOnes", "sklearn.neighbors:KNeighborsRegressor"))
            study = read_study(path)
            jobs = plan(study, folder, digests)
            n_searches = sum(job.method == "tune" for job in jobs)
            n_cells = n_searches * len(study.targets) * study.splits.n_outer
            assert set(found) == {(str(len(jobs)), str(n_cells))}, f"{block.page}: {len(jobs)} jobs, {n_cells} cells"
            checked += 1
    assert checked >= 4


PYTHON = [b for b in BLOCKS if b.language == "python" and b.title != "after a build" and not b.title.endswith(ADDED)]


@pytest.mark.parametrize("page", sorted({block.page for block in PYTHON}))
def test_python_of_the_pages_runs(page, folder, monkeypatch):
    monkeypatch.chdir(folder)
    for block in PYTHON:
        if block.page == page:
            exec(compile(block.text, page, "exec"), {"__name__": "block"})


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
    block = next(block for block in BLOCKS if block.title == f"cortax/scores.py{ADDED}")
    namespace = {"__name__": "scores"}
    exec((ROOT / "cortax/scores.py").read_text().replace("from __future__ import annotations", ""), namespace)
    exec(block.text, namespace)
    rng = np.random.default_rng(0)
    y, predicted = rng.normal(size=(2, 50))
    weights = np.stack([np.ones(50), rng.multinomial(50, np.full(50, 0.02))]).astype(float)
    found = namespace["get_metric"]("large_errors", "regression").function(y, predicted, weights)
    for row, drawn in zip(found, weights.astype(int), strict=True):
        truth, said = np.repeat(y, drawn), np.repeat(predicted, drawn)
        assert row == pytest.approx(np.mean(np.abs(truth - said) > truth.std()))


def test_links_between_pages_lead_somewhere():
    for path in documents.pages():
        for link in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", path.read_text()):
            if link and not link.startswith("https://"):
                assert (path.parent / link).resolve().is_file(), f"{path.relative_to(DOCS)}: {link}"
