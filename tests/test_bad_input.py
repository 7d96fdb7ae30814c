"""The catalogue of bad input: who gets which message, before anything long is computed.

Every case harms one thing in a small study that is right otherwise. The message must say where (file, key,
subject or column), what was found and what is allowed; it must be an error of cortax; and no file may appear.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from cortax.data.maps import find_maps, load_maps, space_of
from cortax.data.phenotype_table import read_phenotypes
from cortax.data.spaces import SPACES
from cortax.data.tables import read_region_files
from cortax.errors import AtlasError, CortaxError, FoldError, InputError, StudyError
from cortax.folds import check_targets, make_folds
from cortax.grid.check import check_study
from cortax.grid.plan import plan
from cortax.parcellation.apply import parcellate
from cortax.parcellation.specs import atlas_from_spec
from cortax.provenance.files import file_digest
from cortax.study import read_study

Harm = Callable[[Path], None]

SPACE = SPACES["fsaverage3"]
TABLE = "input/mini/participants.tsv"
STUDY = "studies/mini.toml"


def _mini() -> ModuleType:
    """The project of the end-to-end tests, whose study and cohort are harmed here."""
    spec = importlib.util.spec_from_file_location("mini", Path(__file__).parent / "e2e" / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its own module up.
    import sys

    sys.modules["mini"] = module
    spec.loader.exec_module(module)
    return module


MINI = _mini()


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    root = tmp_path_factory.mktemp("original")
    (root / "studies").mkdir()
    (root / STUDY).write_text(MINI.STUDY)
    MINI.write_cohort(root / "input" / "mini")
    return root


@pytest.fixture
def root(original, tmp_path):
    """A fresh copy; files are linked, so they must be replaced, not written into."""
    shutil.copytree(original, tmp_path / "p", copy_function=os.link)
    return tmp_path / "p"


def look(root: Path):
    """What a build does first."""
    study = read_study(root / STUDY)
    check_study(study, root)
    return study, plan(study, root, file_digest)


def replace(path: Path, content: str | bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


# How a study is harmed.


def study(old: str, new: str) -> Harm:
    def harm(root: Path) -> None:
        text = (root / STUDY).read_text()
        assert old in text
        replace(root / STUDY, text.replace(old, new, 1))

    return harm


def add(text: str) -> Harm:
    return lambda root: replace(root / STUDY, (root / STUDY).read_text() + text)


def table(change: Callable[[pd.DataFrame], object]) -> Harm:
    """Change the phenotype table, all of it text; `change` may return another frame."""

    def harm(root: Path) -> None:
        frame = pd.read_csv(root / TABLE, sep="\t", dtype=str)
        changed = change(frame)
        frame = changed if isinstance(changed, pd.DataFrame) else frame
        replace(root / TABLE, frame.to_csv(sep="\t", index=False))

    return harm


def column(name: str, values: Callable[[int], str | None]) -> Harm:
    """Give every row of the phenotype table a new value in one column."""
    return table(lambda frame: frame.assign(**{name: [values(i) for i in range(len(frame))]}))


def cell(row: int, name: str, value: str) -> Harm:
    return table(lambda frame: frame.__setitem__(name, frame[name].where(frame.index != row, value)))


def file(path: str, content: str | bytes) -> Harm:
    return lambda root: replace(root / path, content)


def gone(path: str) -> Harm:
    return lambda root: (root / path).unlink()


def both(*harms: Harm) -> Harm:
    return lambda root: [harm(root) for harm in harms] and None


def regions(content: str | bytes | None, **keys: str) -> Harm:
    """Add a table of regions to the study."""
    lines = "".join(f"{key} = {value}\n" for key, value in keys.items())

    def harm(root: Path) -> None:
        add(f'\n[tables.aparc]\nfiles = ["input/mini/aparc.csv"]\n{lines}')(root)
        if content is not None:
            replace(root / "input/mini/aparc.csv", content)

    return harm


SITES = study('group = "family_id"', 'group = "family_id"\nsite = "site"')
LEAVE_OUT = study("n_outer = 3", 'scheme = "leave-one-site-out"')
NO_IMAGES = study(MINI.STUDY[MINI.STUDY.index("[images]") : MINI.STUDY.index("[phenotypes]")], "")
NO_PARCELLATIONS = study(MINI.STUDY[MINI.STUDY.index("[parcellations.") : MINI.STUDY.index("[pipelines.")], "")
NOT_UTF8 = "participant_id\tname\nsub-000\tJosé\n".encode("latin-1")

# id, harm, error, what the message must hold.
CATALOGUE: list[tuple[str, Harm, type[CortaxError], list[str]]] = [
    # The study file.
    ("unknown key", study("n_configs", "n_config"), StudyError, ["mini.toml", "pipelines.ridge.n_config", "did you mean 'n_configs'"]),
    ("unknown section", study("[splits]", "[split]"), StudyError, ["mini.toml", "split: unknown key", "did you mean 'splits'"]),
    ("wrong type", study("n_outer = 3", 'n_outer = "three"'), StudyError, ["mini.toml", "splits.n_outer", "integer", "got 'three'"]),
    ("wrong type of a list", study('["age"]', '"age"'), StudyError, ["mini.toml", "phenotypes.confounds", "list", "got 'age'"]),
    ("out of range", study("max_missing = 0.05", "max_missing = 5"), StudyError, ["mini.toml", "images.max_missing", "less than 1", "got 5"]),
    ("not TOML", study("[images]", "[images"), StudyError, ["mini.toml", "not valid TOML", "line"]),
    ("no study file", gone(STUDY), StudyError, ["mini.toml", "cannot be read"]),
    ("empty file", file(STUDY, ""), StudyError, ["mini.toml", "name: missing", "targets: missing", "pipelines: missing"]),
    ("empty study", both(NO_IMAGES, NO_PARCELLATIONS), StudyError, ["mini.toml", "the study is empty", "[images]", "[tables.*]"]),
    ("no targets", study(MINI.STUDY[MINI.STUDY.index("[targets.fluid]") : MINI.STUDY.index("[splits]")], "[targets]\n"), StudyError, ["mini.toml", "targets", "at least 1"]),
    ("unknown task", study('kind = "classification"', 'kind = "classify"'), StudyError, ["targets.sex.kind", "'regression' or 'classification'", "got 'classify'"]),
    # Names in it.
    ("pipeline", study('kind = "ridge"', 'kind = "rigde"'), StudyError, ["pipelines.ridge", "got 'rigde'", "did you mean 'ridge'"]),
    ("hyperparameter", study("n_configs = 3", "n_configs = 3\nspace = { alfa = [1.0] }"), StudyError, ["pipelines.ridge", "'alfa'", "did you mean 'alpha'"]),
    ("hyperparameter out of range", study("n_configs = 3", "n_configs = 3\nspace = { alpha = { low = 2, high = 1 } }"), StudyError, ["pipelines.ridge", "alpha", "low"]),
    ("class", study('kind = "ridge"', 'kind = "sklearn"\nregression = "sklearn.linear_model:Rigde"\nclassification = "sklearn.svm:SVC"'), StudyError, ["pipelines.ridge", "regression", "sklearn.linear_model:Rigde"]),
    ("class for one task only", study('kind = "ridge"', 'kind = "sklearn"\nregression = "sklearn.linear_model:Ridge"'), StudyError, ["pipelines.ridge", "classification"]),
    ("package", study('kind = "ridge"', 'kind = "sklearn"\nregression = "nowhere:Ridge"\nclassification = "sklearn.svm:SVC"'), StudyError, ["pipelines.ridge", "nowhere:Ridge"]),
    ("metric", study('["r2"]', '["r3"]'), StudyError, ["evaluate.metrics.regression", "got 'r3'", "did you mean 'r2'"]),
    ("metric of the other task", study('["r2"]', '["roc_auc"]'), StudyError, ["evaluate.metrics.regression", "'roc_auc'", "'r2'"]),
    ("scorer", add('\n[search]\nregression = "r3"\n'), StudyError, ["search.regression", "got 'r3'", "did you mean 'r2'"]),
    ("parcellation kind", study('kind = "labels"', 'kind = "lables"'), StudyError, ["parcellations.blocks", "got 'lables'", "did you mean 'labels'"]),
    ("parcellation key", study('kind = "labels"\nfile', 'kind = "labels"\nfiles'), StudyError, ["parcellations.blocks", "'files'", "did you mean 'file'"]),
    ("statistic", study('kind = "labels"', 'kind = "labels"\nstatistic = "average"'), StudyError, ["parcellations.blocks", "statistic", "got 'average'", "'mean'"]),
    ("number of regions", add('\n[parcellations.v]\nkind = "voronoi"\nn_regions = 1\nseed = 0\n'), StudyError, ["parcellations.v", "n_regions", "at least 2, got 1"]),
    ("parcellation pattern", study("n_configs = 3", 'n_configs = 3\nparcellations = ["block"]'), StudyError, ["pipelines.ridge.parcellations", "got 'block'", "did you mean 'blocks'"]),
    ("space", study('"fsaverage3"', '"fsavrage3"'), StudyError, ["images.space", "got 'fsavrage3'", "did you mean 'fsaverage3'"]),
    ("map field", study("hemi-{hemi}", "hemi-{side}"), InputError, ["map 'thickness'", "got 'side'", "'hemi'"]),
    # Images, found by their names.
    ("image root", study('root = "input/mini"', 'root = "input/mimi"'), InputError, ["input/mimi", "images.root is not a folder"]),
    ("nothing fits", study("_thickness.npy", "_curv.npy"), InputError, ["input/mini", "no file fits", "_curv.npy", "'thickness'"]),
    ("other subjects", table(lambda frame: frame.assign(participant_id=frame["participant_id"].str.removeprefix("sub-"))), InputError, ["participants.tsv", "no subject", "['000', '001', '002']", "['sub-000', 'sub-001', 'sub-002']"]),
    ("parcellation file", gone("input/mini/soft.npy"), InputError, ["soft.npy", "cannot be read (No such file"]),
    # The phenotype table.
    ("no table", gone(TABLE), InputError, ["participants.tsv", "no such file"]),
    ("empty table", file(TABLE, ""), InputError, ["participants.tsv"]),
    ("header only", file(TABLE, "participant_id\tfamily_id\tage\tfluid\tsex\n"), InputError, ["participants.tsv", "no rows"]),
    ("table not UTF-8", file(TABLE, NOT_UTF8), InputError, ["participants.tsv", "not UTF-8", "0xe9", "line 2"]),
    ("format of the table", study("participants.tsv", "participants.xlsx"), InputError, ["participants.xlsx", "'.tsv'"]),
    ("ragged row", lambda root: replace(root / TABLE, (root / TABLE).read_text() + "sub-024\tfam-12\n"), InputError, ["participants.tsv", "line 26 has 2 cells, the header has 5"]),
    ("no id column", table(lambda frame: frame.rename(columns={"participant_id": "subject_id"})), InputError, ["participants.tsv", "got 'participant_id'", "'subject_id'"]),
    ("duplicate id", cell(3, "participant_id", "sub-007"), InputError, ["participants.tsv", "more than once", "sub-007"]),
    ("missing id", cell(3, "participant_id", ""), InputError, ["participants.tsv", "'participant_id'", "data rows [4]"]),
    ("column twice", table(lambda frame: frame.set_axis(["participant_id", "family_id", "age", "fluid", "fluid"], axis=1)), InputError, ["participants.tsv", "more than once", "fluid"]),
    # Targets.
    ("target absent", study("[targets.fluid]", "[targets.fluit]"), InputError, ["participants.tsv", "target 'fluit'", "did you mean 'fluid'"]),
    ("target constant", column("fluid", lambda i: "1.5"), InputError, ["participants.tsv", "target 'fluid', column 'fluid'", "constant", "1.5"]),
    ("target missing", column("fluid", lambda i: "n/a"), InputError, ["participants.tsv", "target 'fluid', column 'fluid'", "all 24 values are missing"]),
    ("target of text", cell(5, "fluid", "high"), InputError, ["participants.tsv", "target 'fluid'", "subject 'sub-005'", "data row 6", "'high'"]),
    ("one class", column("sex", lambda i: "F"), InputError, ["participants.tsv", "target 'sex', column 'sex'", "constant, only the class", "F"]),
    ("three classes", cell(5, "sex", "X"), InputError, ["participants.tsv", "target 'sex', column 'sex'", "3 classes where two are needed", "['F', 'M', 'X']"]),
    ("positive class", study('positive = "F"', 'positive = "female"'), InputError, ["participants.tsv", "target 'sex', column 'sex', positive", "got 'female'", "['F', 'M']"]),
    ("target is a confound", study('["age"]', '["age", "fluid"]'), InputError, ["participants.tsv", "'fluid'", "share a name"]),
    # Columns with other parts.
    ("group absent", study('"family_id"', '"family"'), InputError, ["participants.tsv", "group: no such column: got 'family'", "did you mean 'family_id'"]),
    ("group missing", cell(5, "family_id", "n/a"), InputError, ["participants.tsv", "column 'family_id': no group for 1 subjects: ['sub-005']"]),
    ("site absent", SITES, InputError, ["participants.tsv", "no such column: got 'site'"]),
    ("stratify absent", study("[splits]", '[splits]\nstratify = "sez"'), InputError, ["participants.tsv", "stratify: no such column: got 'sez'", "did you mean 'sex'"]),
    ("confound absent", study('["age"]', '["agee"]'), InputError, ["participants.tsv", "confound: no such column: got 'agee'", "did you mean 'age'"]),
    ("confound constant", column("age", lambda i: "9"), InputError, ["participants.tsv", "confound 'age'", "constant", "9"]),
    ("confound mixed", cell(5, "age", "ten"), InputError, ["participants.tsv", "confound 'age', subject 'sub-005'", "'ten'"]),
    ("confound missing", column("age", lambda i: "n/a"), InputError, ["participants.tsv", "no subject has all confounds ['age']"]),
    # Folds.
    ("more folds than groups", study("n_outer = 3", "n_outer = 13"), FoldError, ["participants.tsv", "outer: 13 folds need at least 13 groups; there are 12"]),
    ("more inner folds than groups", study("n_inner = 2", "n_inner = 9"), FoldError, ["participants.tsv", "inner folds of outer fold 0: 9 folds", "there are 8"]),
    ("one class in a fold", column("sex", lambda i: "F" if i < 2 else "M"), FoldError, ["participants.tsv", "target 'sex', outer fold", "0 of class 1"]),
    ("leave out without sites", LEAVE_OUT, StudyError, ["mini.toml", "leave-one-site-out", "phenotypes.site"]),
    ("one site", both(SITES, LEAVE_OUT, column("site", lambda i: "here")), FoldError, ["participants.tsv", "at least 2 sites; got 1"]),
    ("families across sites", both(SITES, LEAVE_OUT, column("site", lambda i: f"site-{(i + 1) // 2 % 3}")), FoldError, ["participants.tsv", "'family_id'", "'site'", "fam-00"]),
    ("strata without leaving out", both(SITES, LEAVE_OUT, study("[splits]", '[splits]\nstratify = "sex"'), column("site", lambda i: f"site-{i // 8}")), FoldError, ["leave-one-site-out", "takes no strata"]),
    # Tables of regions.
    ("region table missing", regions(None), InputError, ["aparc.csv", "no such file"]),
    ("region table not UTF-8", regions(NOT_UTF8), InputError, ["aparc.csv", "not UTF-8"]),
    ("region table without ids", regions("subject,left\nsub-000,1\n"), InputError, ["aparc.csv", "got 'participant_id'", "'subject'"]),
    ("region table of others", regions("participant_id,left\n000,1\n001,2\n"), InputError, ["aparc", "no subject", "['000', '001']", "['sub-000', 'sub-001', 'sub-002']"]),
    ("region table with a subject twice", regions("participant_id,left\nsub-000,1\nsub-000,2\n"), InputError, ["aparc.csv", "more than once", "sub-000"]),
    ("sessions of other number", regions("participant_id,left\nsub-000,1\n", sessions='["a", "b"]'), InputError, ["1 region tables for 2 sessions"]),
]  # fmt: skip


def test_the_study_that_is_harmed_is_right(root):
    _, specs = look(root)
    assert [spec.method for spec in specs] == [
        *["load", "parcellate", "parcellate", "phenotype", "split"],
        *["tune", "tune", "evaluate", "evaluate", "scores"],
    ]


@pytest.mark.parametrize(("harm", "error", "said"), [case[1:] for case in CATALOGUE], ids=[case[0] for case in CATALOGUE])
def test_found_before_anything_runs(root, harm, error, said):
    harm(root)
    before = sorted(root.rglob("*"))
    with pytest.raises(CortaxError) as caught:
        look(root)
    message = str(caught.value)
    if os.environ.get("SHOW"):
        print("\nMSG", type(caught.value).__name__, message)
    assert type(caught.value) is error, message
    assert [words for words in said if words not in message] == [], message
    assert sorted(root.rglob("*")) == before
