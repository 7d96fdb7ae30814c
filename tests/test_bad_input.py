"""The catalogue of bad input: who gets which message, before anything long is computed.

Every case harms one thing in a small study that is right otherwise. The message must say where (file, key,
subject or column), what was found and what is allowed; it must be an error of cortax; and no file may appear.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from cortax.brain.data.maps import find_maps, load_maps, space_of
from cortax.brain.data.phenotype_table import People, read_phenotypes
from cortax.brain.data.spaces import SPACES
from cortax.brain.data.tables import read_region_files
from cortax.brain.parcellation.apply import parcellate
from cortax.brain.parcellation.specs import atlas_from_spec
from cortax.errors import AtlasError, CortaxError, FoldError, InputError, StudyError
from cortax.learning.folds import check_targets, make_folds
from cortax.provenance.files import file_digest
from cortax.workflow.workload import Planning, read_study
from cortax.workloads.regions.check import check_study
from cortax.workloads.regions.plan.plan import regions_jobs

Harm = Callable[[Path], None]

SPACE = SPACES["fsaverage3"]
TABLE = "input/mini/participants.tsv"
STUDY = "studies/mini.toml"


def _mini() -> ModuleType:
    """The project of the end-to-end tests, whose study and cohort are harmed here."""
    spec = importlib.util.spec_from_file_location("mini", Path(__file__).parent / "e2e" / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["mini"] = module  # where a dataclass looks its own module up
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
    return study, regions_jobs(study, Planning(root, file_digest))


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
    (
        "unknown key",
        study("n_configs", "n_config"),
        StudyError,
        ["mini.toml", "pipelines.ridge.n_config", "did you mean 'n_configs'"],
    ),
    (
        "unknown section",
        study("[splits]", "[split]"),
        StudyError,
        ["mini.toml", "split: unknown key", "did you mean 'splits'"],
    ),
    (
        "wrong type",
        study("n_outer = 3", 'n_outer = "three"'),
        StudyError,
        ["mini.toml", "splits.n_outer", "integer", "got 'three'"],
    ),
    (
        "wrong type of a list",
        study('["age"]', '"age"'),
        StudyError,
        ["mini.toml", "phenotypes.confounds", "list", "got 'age'"],
    ),
    (
        "out of range",
        study("max_missing = 0.05", "max_missing = 5"),
        StudyError,
        ["mini.toml", "images.max_missing", "less than 1", "got 5"],
    ),
    ("not TOML", study("[images]", "[images"), StudyError, ["mini.toml", "not valid TOML", "line"]),
    ("no study file", gone(STUDY), StudyError, ["mini.toml", "cannot be read"]),
    (
        "empty file",
        file(STUDY, ""),
        StudyError,
        ["mini.toml", "name: missing", "targets: missing", "pipelines: missing"],
    ),
    (
        "empty study",
        both(NO_IMAGES, NO_PARCELLATIONS),
        StudyError,
        ["mini.toml", "the study is empty", "[images]", "[tables.*]"],
    ),
    (
        "no targets",
        study(MINI.STUDY[MINI.STUDY.index("[targets.fluid]") : MINI.STUDY.index("[splits]")], "[targets]\n"),
        StudyError,
        ["mini.toml", "targets", "at least 1"],
    ),
    (
        "unknown task",
        study('kind = "classification"', 'kind = "classify"'),
        StudyError,
        ["targets.sex.kind", "'regression', 'classification' or 'ordinal'", "got 'classify'"],
    ),
    # Names in it.
    (
        "pipeline",
        study('kind = "ridge"', 'kind = "rigde"'),
        StudyError,
        ["study 'mini': pipelines.ridge: ", "got 'rigde'", "did you mean 'ridge'"],
    ),
    (
        "hyperparameter",
        study("n_configs = 3", "n_configs = 3\nspace = { alfa = [1.0] }"),
        StudyError,
        ["study 'mini': pipelines.ridge: ", "'alfa'", "did you mean 'alpha'"],
    ),
    (
        "hyperparameter out of range",
        study("n_configs = 3", "n_configs = 3\nspace = { alpha = { low = 2, high = 1 } }"),
        StudyError,
        ["study 'mini': pipelines.ridge: ", "alpha", "low"],
    ),
    (
        "class",
        study(
            'kind = "ridge"',
            'kind = "sklearn"\nregression = "sklearn.linear_model:Rigde"\nclassification = "sklearn.svm:SVC"',
        ),
        StudyError,
        ["study 'mini': pipelines.ridge: ", "regression", "sklearn.linear_model:Rigde"],
    ),
    (
        "class for one task only",
        study('kind = "ridge"', 'kind = "sklearn"\nregression = "sklearn.linear_model:Ridge"'),
        StudyError,
        ["study 'mini': pipelines.ridge: ", "classification"],
    ),
    (
        "package",
        study('kind = "ridge"', 'kind = "sklearn"\nregression = "nowhere:Ridge"\nclassification = "sklearn.svm:SVC"'),
        StudyError,
        ["study 'mini': pipelines.ridge: ", "nowhere:Ridge"],
    ),
    (
        "class of another kind",
        study('kind = "ridge"', 'kind = "ridge"\nregression = "sklearn.linear_model:Ridge"'),
        StudyError,
        ["mini.toml", "pipelines.ridge", "'sklearn.linear_model:Ridge'", "kind = 'sklearn' only", "'ridge'"],
    ),
    (
        "positive class of a number",
        study("[targets.fluid]\n", "[targets.fluid]\npositive = 1\n"),
        StudyError,
        ["mini.toml", "targets.fluid", "positive = 1", "'classification' only"],
    ),
    (
        "categorical, but no confound",
        study('["age"]', '["age"]\ncategorical = ["sex"]'),
        StudyError,
        ["mini.toml", "phenotypes: categorical: ['sex'] are not among the confounds, ['age']"],
    ),
    (
        "metric",
        study('["r2"]', '["r3"]'),
        StudyError,
        ["study 'mini': evaluate.metrics.regression: ", "got 'r3'", "did you mean 'r2'"],
    ),
    (
        "metric of the other task",
        study('["r2"]', '["roc_auc"]'),
        StudyError,
        ["study 'mini': evaluate.metrics.regression: ", "'roc_auc'", "'r2'"],
    ),
    (
        "scorer",
        add('\n[search]\nregression = "r3"\n'),
        StudyError,
        ["study 'mini': search.regression: ", "got 'r3'", "did you mean 'r2'"],
    ),
    (
        "parcellation kind",
        study('kind = "labels"', 'kind = "lables"'),
        StudyError,
        ["study 'mini': parcellations.blocks: ", "got 'lables'", "did you mean 'labels'"],
    ),
    (
        "parcellation key",
        study('kind = "labels"\nfile', 'kind = "labels"\nfiles'),
        StudyError,
        ["study 'mini': parcellations.blocks: ", "'files'", "did you mean 'file'"],
    ),
    (
        "statistic",
        study('kind = "labels"', 'kind = "labels"\nstatistic = "average"'),
        StudyError,
        ["study 'mini': parcellations.blocks: ", "statistic", "got 'average'", "'mean'"],
    ),
    (
        "number of regions",
        add('\n[parcellations.v]\nkind = "voronoi"\nn_regions = 1\nseed = 0\n'),
        StudyError,
        ["study 'mini': parcellations.v: ", "n_regions", "at least 2, got 1"],
    ),
    (
        "parcellation pattern",
        study("n_configs = 3", 'n_configs = 3\nparcellations = ["block"]'),
        StudyError,
        ["pipelines.ridge.parcellations", "got 'block'", "did you mean 'blocks'"],
    ),
    (
        "space",
        study('"fsaverage3"', '"fsavrage3"'),
        StudyError,
        ["study 'mini': images.space: ", "got 'fsavrage3'", "did you mean 'fsaverage3'"],
    ),
    ("map field", study("hemi-{hemi}", "hemi-{side}"), InputError, ["map 'thickness'", "got 'side'", "'hemi'"]),
    # Images, found by their names.
    (
        "image root",
        study('root = "input/mini"', 'root = "input/mimi"'),
        InputError,
        ["input/mimi", "images.root is not a folder"],
    ),
    (
        "nothing fits",
        study("_thickness.npy", "_curv.npy"),
        InputError,
        ["input/mini", "no file fits", "_curv.npy", "'thickness'"],
    ),
    (
        "other subjects",
        table(lambda frame: frame.assign(participant_id=frame["participant_id"].str.removeprefix("sub-"))),
        InputError,
        ["participants.tsv", "no subject", "['000', '001', '002']", "['sub-000', 'sub-001', 'sub-002']"],
    ),
    ("parcellation file", gone("input/mini/soft.npy"), InputError, ["soft.npy", "cannot be read (No such file"]),
    # The phenotype table.
    ("no table", gone(TABLE), InputError, ["participants.tsv", "missing file"]),
    ("empty table", file(TABLE, ""), InputError, ["participants.tsv"]),
    (
        "header only",
        file(TABLE, "participant_id\tfamily_id\tage\tfluid\tsex\n"),
        InputError,
        ["participants.tsv", "no rows"],
    ),
    ("table not UTF-8", file(TABLE, NOT_UTF8), InputError, ["participants.tsv", "not UTF-8", "0xe9", "line 2"]),
    (
        "format of the table",
        study("participants.tsv", "participants.xlsx"),
        InputError,
        ["participants.xlsx", "missing file"],
    ),
    (
        "ragged row",
        lambda root: replace(root / TABLE, (root / TABLE).read_text() + "sub-024\tfam-12\n"),
        InputError,
        ["participants.tsv", "line 26 has 2 cells, the header has 5"],
    ),
    (
        "no id column",
        table(lambda frame: frame.rename(columns={"participant_id": "subject_id"})),
        InputError,
        ["participants.tsv", "got 'participant_id'", "'subject_id'"],
    ),
    (
        "duplicate id",
        cell(3, "participant_id", "sub-007"),
        InputError,
        ["participants.tsv", "more than once", "sub-007"],
    ),
    (
        "missing id",
        cell(3, "participant_id", ""),
        InputError,
        ["participants.tsv", "'participant_id'", "data rows [4]"],
    ),
    (
        "column twice",
        table(lambda frame: frame.set_axis(["participant_id", "family_id", "age", "fluid", "fluid"], axis=1)),
        InputError,
        ["participants.tsv", "more than once", "fluid"],
    ),
    # Targets.
    (
        "target absent",
        study("[targets.fluid]", "[targets.fluit]"),
        InputError,
        ["participants.tsv", "target 'fluit'", "did you mean 'fluid'"],
    ),
    (
        "target constant",
        column("fluid", lambda i: "1.5"),
        InputError,
        ["participants.tsv", "target 'fluid', column 'fluid'", "constant", "1.5"],
    ),
    (
        "target missing",
        column("fluid", lambda i: "n/a"),
        InputError,
        ["participants.tsv", "target 'fluid', column 'fluid'", "all 24 values are missing"],
    ),
    (
        "target of text",
        cell(5, "fluid", "high"),
        InputError,
        ["participants.tsv", "target 'fluid'", "subject 'sub-005'", "data row 6", "'high'"],
    ),
    (
        "one class",
        column("sex", lambda i: "F"),
        InputError,
        ["participants.tsv", "target 'sex', column 'sex'", "constant, only the class", "F"],
    ),
    (
        "three classes",
        cell(5, "sex", "X"),
        InputError,
        [
            "participants.tsv",
            "target 'sex', column 'sex'",
            "positive = 'F' goes with two classes",
            "there are 3: ['F', 'M', 'X']",
        ],
    ),
    (
        "positive class",
        study('positive = "F"', 'positive = "female"'),
        InputError,
        ["participants.tsv", "target 'sex', column 'sex', positive", "got 'female'", "['F', 'M']"],
    ),
    (
        "target is a confound",
        study('["age"]', '["age", "fluid"]'),
        InputError,
        ["participants.tsv", "'fluid'", "share a name"],
    ),
    # Columns with other parts.
    (
        "group absent",
        study('"family_id"', '"family"'),
        InputError,
        ["participants.tsv", "group: no such column: got 'family'", "did you mean 'family_id'"],
    ),
    (
        "group missing",
        cell(5, "family_id", "n/a"),
        InputError,
        ["participants.tsv", "column 'family_id': no group for 1 subjects: ['sub-005']"],
    ),
    ("site absent", SITES, InputError, ["participants.tsv", "no such column: got 'site'"]),
    (
        "stratify absent",
        study("[splits]", '[splits]\nstratify = "sez"'),
        InputError,
        ["participants.tsv", "stratify: no such column: got 'sez'", "did you mean 'sex'"],
    ),
    (
        "confound absent",
        study('["age"]', '["agee"]'),
        InputError,
        ["participants.tsv", "confound: no such column: got 'agee'", "did you mean 'age'"],
    ),
    (
        "confound constant",
        column("age", lambda i: "9"),
        InputError,
        ["participants.tsv", "confound 'age'", "constant", "9"],
    ),
    (
        "confound mixed",
        cell(5, "age", "ten"),
        InputError,
        ["participants.tsv", "confound 'age', subject 'sub-005'", "'ten'"],
    ),
    (
        "confound missing",
        column("age", lambda i: "n/a"),
        InputError,
        ["participants.tsv", "no subject has all confounds ['age']"],
    ),
    # Folds.
    (
        "more folds than groups",
        study("n_outer = 3", "n_outer = 13"),
        FoldError,
        ["participants.tsv", "outer: 13 folds need at least 13 groups; there are 12"],
    ),
    (
        "more inner folds than groups",
        study("n_inner = 2", "n_inner = 9"),
        FoldError,
        ["participants.tsv", "inner folds of outer fold 0: 9 folds", "there are 8"],
    ),
    (
        "one class in a fold",
        column("sex", lambda i: "F" if i < 2 else "M"),
        FoldError,
        ["participants.tsv", "target 'sex', outer fold", "0 of class 1"],
    ),
    ("leave out without sites", LEAVE_OUT, StudyError, ["mini.toml", "leave-one-site-out", "phenotypes.site"]),
    (
        "one site",
        both(SITES, LEAVE_OUT, column("site", lambda i: "here")),
        FoldError,
        ["participants.tsv", "at least 2 sites; got 1"],
    ),
    (
        "families across sites",
        both(SITES, LEAVE_OUT, column("site", lambda i: f"site-{(i + 1) // 2 % 3}")),
        FoldError,
        ["participants.tsv", "'family_id'", "'site'", "fam-00"],
    ),
    (
        "strata without leaving out",
        both(
            SITES,
            LEAVE_OUT,
            study("[splits]", '[splits]\nstratify = "sex"'),
            column("site", lambda i: f"site-{i // 8}"),
        ),
        FoldError,
        ["leave-one-site-out", "takes no strata"],
    ),
    # Tables of regions.
    ("region table missing", regions(None), InputError, ["aparc.csv", "missing file"]),
    ("region table not UTF-8", regions(NOT_UTF8), InputError, ["aparc.csv", "not UTF-8"]),
    (
        "region table without ids",
        regions("subject,left\nsub-000,1\n"),
        InputError,
        ["aparc.csv", "got 'participant_id'", "'subject'"],
    ),
    (
        "region table of others",
        regions("participant_id,left\n000,1\n001,2\n"),
        InputError,
        ["aparc", "no subject", "['000', '001']", "['sub-000', 'sub-001', 'sub-002']"],
    ),
    (
        "region table with a subject twice",
        regions("participant_id,left\nsub-000,1\nsub-000,2\n"),
        InputError,
        ["aparc.csv", "more than once", "sub-000"],
    ),
    (
        "sessions of other number",
        regions("participant_id,left\nsub-000,1\n", sessions='["a", "b"]'),
        StudyError,
        ["mini.toml", "tables.aparc: 2 sessions for 1 files"],
    ),
]


def test_the_study_that_is_harmed_is_right(root):
    _, specs = look(root)
    assert [spec.method for spec in specs] == [
        *["load", "parcellate", "parcellate", "phenotype", "split", "target", "target"],
        *["tune", "tune", "evaluate", "evaluate", "scores"],
    ]


@pytest.mark.parametrize(
    ("harm", "error", "said"), [case[1:] for case in CATALOGUE], ids=[case[0] for case in CATALOGUE]
)
def test_found_before_anything_runs(root, harm, error, said):
    harm(root)
    before = sorted(root.rglob("*"))
    with pytest.raises(CortaxError) as caught:
        look(root)
    message = str(caught.value)
    assert isinstance(caught.value, error), message
    assert [words for words in said if words not in message] == [], message
    assert sorted(root.rglob("*")) == before


def test_ids_stay_text(root):
    """`001` is no number: a table of numbers in quotes, or without, keeps its zeros."""
    table(lambda frame: frame.assign(participant_id=[f"{i:03d}" for i in range(24)]))(root)
    found = read_phenotypes(People((root / TABLE,)))
    assert list(found.table.index[:3]) == ["000", "001", "002"]
    replace(root / "regions.csv", 'participant_id,left\n"001",1\n010,2\n')
    assert read_region_files([root / "regions.csv"]).subjects == ("001", "010")


# What only a job can find, because it opens the images: the job's own functions.


def thickness(subject: str, hemi: str = "L") -> str:
    return f"input/mini/{subject}/{subject}_hemi-{hemi}_thickness.npy"


def load(root: Path, **options):
    """What the job `load` does."""
    images = read_study(root / STUDY).images
    files = find_maps(root / images.root, images.maps)
    (root / "out").mkdir()
    about = {"max_missing": images.max_missing, "outlier_sd": images.outlier_sd, "damaged": images.damaged}
    return load_maps(files, root / "out", space=space_of(files, images.space), **{**about, **options})


def image(values: np.ndarray, subject: str = "sub-003", hemi: str = "L") -> Harm:
    def harm(root: Path) -> None:
        (root / thickness(subject, hemi)).unlink()
        np.save(root / thickness(subject, hemi), values)

    return harm


def gifti(swapped: str) -> Harm:
    """Turn the maps into GIFTI files that say of which hemisphere they are, of one subject wrongly."""

    def harm(root: Path) -> None:
        study("_thickness.npy", "_thickness.func.gii")(root)
        for path in root.glob("input/mini/sub-*/*.npy"):
            is_left = ("hemi-L" in path.name) != (swapped in path.name)
            array = nib.gifti.GiftiDataArray(np.load(path), intent="NIFTI_INTENT_SHAPE")
            meta = nib.gifti.GiftiMetaData({"AnatomicalStructurePrimary": "CortexLeft" if is_left else "CortexRight"})
            nib.save(nib.GiftiImage(darrays=[array], meta=meta), path.with_suffix(".func.gii"))

    return harm


FOUR = np.ones(SPACES["fsaverage4"].n_left, np.float32)
IMAGES: list[tuple[str, Harm, list[str]]] = [
    (
        "mixed spaces",
        both(image(FOUR), image(FOUR, hemi="R")),
        ["sub-003_hemi-L", "642 values are needed", "found 2562, as many as in 'fsaverage4'"],
    ),
    (
        "number of vertices",
        image(np.ones(641, np.float32)),
        ["sub-003_hemi-L", "left hemisphere of 'fsaverage3'", "642 values are needed", "found 641"],
    ),
    (
        "hemispheres swapped",
        gifti("sub-003"),
        ["sub-003_hemi-L", "named as the left hemisphere, but holds the right one"],
    ),
    (
        "space of the study",
        study('"fsaverage3"', '"fsaverage4"'),
        ["sub-000_hemi-L", "2562 values are needed", "found 642, as many as in 'fsaverage3'"],
    ),
    (
        "volume without a grid",
        study('"fsaverage3"', '"volume"'),
        ["sub-000_hemi-L", "space = 'volume' needs images with a grid"],
    ),
    (
        "all dropped",
        lambda root: [image(np.full(642, np.nan, np.float32), f"sub-{i:03d}")(root) for i in range(24)] and None,
        ["input/mini", "every subject was dropped", "24", "map 'thickness'", "642 of 1284 locations are missing"],
    ),
    (
        "damaged, if that is an error",
        both(study("max_missing", 'damaged = "error"\nmax_missing'), file(thickness("sub-003"), b"\x93NUMPY")),
        ["sub-003_hemi-L"],
    ),
]


@pytest.mark.parametrize(("harm", "said"), [case[1:] for case in IMAGES], ids=[case[0] for case in IMAGES])
def test_found_in_reading_the_images(root, harm, said):
    harm(root)
    with pytest.raises(InputError) as caught:
        load(root)
    message = str(caught.value)
    assert [words for words in said if words not in message] == [], message
    assert list((root / "out").iterdir()) == []


WHOLE = np.full(642, 2.5, np.float32)
DROPS: list[tuple[str, Harm, list[str]]] = [
    (
        "cut short",
        lambda root: replace(root / thickness("sub-003"), (root / thickness("sub-003")).read_bytes()[:1000]),
        ["not a readable numpy array", "mmap length is greater than file size"],
    ),
    ("empty", file(thickness("sub-003"), b""), ["empty file (0 bytes)"]),
    ("something else", file(thickness("sub-003"), b"not an array" * 99), ["not a readable"]),
    ("gone", gone(thickness("sub-003")), ["missing file"]),
    (
        "NaN",
        image(np.where(np.arange(642) < 65, np.nan, WHOLE)),
        ["map 'thickness'", "65 of 1284 locations are missing, at most 0.05"],
    ),
    (
        "mostly infinite",
        image(np.where(np.arange(642) < 65, -np.inf, WHOLE)),
        ["map 'thickness'", "65 of 1284 locations are missing, at most 0.05"],
    ),
    (
        "infinite",
        image(np.where(np.arange(642) < 2, -np.inf, WHOLE)),
        ["map 'thickness'", "2 of 1284 values are infinite"],
    ),
    ("too large", image(np.where(np.arange(642) < 2, 1e300, 2.5)), ["2 of 1284 values are infinite"]),
    (
        "a link that leads nowhere",
        both(gone(thickness("sub-003")), lambda root: (root / thickness("sub-003")).symlink_to("annex/x")),
        ["a link that leads nowhere"],
    ),
    (
        "outlying",
        image(np.where(np.arange(642) % 2, -1e6, 1e6).astype(np.float32)),
        ["map 'thickness'", "more than 8 SD"],
    ),
]


@pytest.mark.parametrize(("harm", "said"), [case[1:] for case in DROPS], ids=[case[0] for case in DROPS])
def test_a_subject_that_is_dropped_is_counted_with_its_reason(root, harm, said):
    harm(root)
    loaded = load(root, outlier_sd=8)
    assert len(loaded.subjects) == 23
    assert "sub-003" not in loaded.subjects
    listed = pd.read_csv(root / "out/dropped.csv", dtype=str)
    assert list(listed["participant_id"]) == ["sub-003"]
    row = " ".join(listed.iloc[0].fillna(""))
    assert [words for words in said if words not in row] == [], row


def annot(path: Path, names: list[str]) -> None:
    """Write a FreeSurfer annotation of 642 vertices with some regions."""
    colours = np.array([[10 * (i + 1), 0, 0, 0, 10 * (i + 1)] for i in range(len(names))])
    path.unlink(missing_ok=True)
    nib.freesurfer.write_annot(path, np.arange(642) % max(len(names), 1), colours, names, fill_ctab=False)


def blocks(root: Path, values: np.ndarray) -> None:
    replace(root / "input/mini/blocks.npy", b"")
    np.save(root / "input/mini/blocks.npy", values)


def names(root: Path, text: str) -> None:
    replace(root / "input/mini/names.tsv", text)


NAMED = {"kind": "labels", "file": "input/mini/blocks.npy", "names": "input/mini/names.tsv"}
PAIR = {"kind": "labels", "left": "input/mini/lh.a.annot", "right": "input/mini/rh.a.annot"}
ATLASES: list[tuple[str, Harm, dict, list[str]]] = [
    ("without labels", lambda root: blocks(root, np.zeros(1284, np.int32)), {}, ["blocks.npy", "no region"]),
    (
        "of another space",
        lambda root: blocks(root, np.ones(5124, np.int32)),
        {},
        ["blocks.npy", "labels are in", "5124", "fsaverage3 (1284 locations)"],
    ),
    (
        "numbers of another kind",
        lambda root: blocks(root, np.full(1284, 0.5, np.float32)),
        {},
        ["blocks.npy", "whole"],
    ),
    ("empty", file("input/mini/blocks.npy", b""), {}, ["blocks.npy", "empty file (0 bytes)"]),
    (
        "cut short",
        lambda root: replace(root / "input/mini/blocks.npy", (root / "input/mini/blocks.npy").read_bytes()[:500]),
        {},
        ["blocks.npy"],
    ),
    (
        "region twice",
        lambda root: names(root, "index\tname\n" + "".join(f"{i}\tarea-{i % 9}\n" for i in range(1, 11))),
        NAMED,
        ["unique", "['area-1']"],
    ),
    (
        "label without a name",
        lambda root: names(root, "index\tname\n1\tarea-1\n"),
        NAMED,
        ["names.tsv", "has no name for the labels [2, 3, 4, 5, 6, 7, 8, 9, 10]", "blocks.npy"],
    ),
    (
        "one hemisphere",
        lambda root: None,
        {"kind": "labels", "left": "input/mini/blocks.npy"},
        ["'file' or both 'left' and 'right'", "['kind', 'left']"],
    ),
    (
        "hemisphere missing",
        lambda root: annot(root / PAIR["left"], ["a", "b"]),
        PAIR,
        ["rh.a.annot", "missing file"],
    ),
    (
        "weights of another shape",
        lambda root: None,
        {"kind": "weights", "file": "input/mini/blocks.npy"},
        ["blocks.npy", "shape (n_locations, n_regions)", "1284", "found int32 of shape (1284,)"],
    ),
    (
        "mesh of another space",
        lambda root: None,
        {"kind": "icosahedral", "level": 1, "mesh": "fsaverage5"},
        ["mesh: 'fsaverage5' has 10242 vertices in L", "fsaverage3 (1284 locations)"],
    ),
]


@pytest.mark.parametrize(("harm", "spec", "said"), [case[1:] for case in ATLASES], ids=[case[0] for case in ATLASES])
def test_found_in_making_a_parcellation(root, harm, spec, said):
    harm(root)
    spec = spec or read_study(root / STUDY).parcellations["blocks"]
    with pytest.raises(AtlasError) as caught:
        atlas_from_spec(spec, name="blocks", space=SPACE, root=root)
    message = str(caught.value)
    assert [words for words in ["parcellation 'blocks'", *said] if words not in message] == [], message


def test_swapped_annotations_are_told_by_their_gifti(root):
    for hemi, structure in (("lh", "CortexRight"), ("rh", "CortexLeft")):
        label = nib.gifti.GiftiLabel(1, 1, 0, 0, 1)
        label.label = "area"
        labels = nib.gifti.GiftiLabelTable()
        labels.labels.append(label)
        array = nib.gifti.GiftiDataArray(np.ones(642, np.int32), intent="NIFTI_INTENT_LABEL")
        meta = nib.gifti.GiftiMetaData({"AnatomicalStructurePrimary": structure})
        nib.save(nib.GiftiImage(darrays=[array], labeltable=labels, meta=meta), root / f"{hemi}.label.gii")
    spec = {"kind": "labels", "left": "lh.label.gii", "right": "rh.label.gii"}
    with pytest.raises(AtlasError, match=re.escape("lh.label.gii: is of hemisphere R, given as L: are left and right")):
        atlas_from_spec(spec, name="blocks", space=SPACE, root=root)


def test_a_parcellation_of_another_space_is_not_applied(root):
    spec = read_study(root / STUDY).parcellations["blocks"]
    atlas = atlas_from_spec(spec, name="blocks", space=SPACE, root=root)
    other = SPACES["fsaverage4"]
    with pytest.raises(AtlasError, match=r"'blocks'.*fsaverage3.*fsaverage4|fsaverage4.*'blocks'.*fsaverage3"):
        parcellate(np.ones((2, 1, other.n_locations), np.float32), atlas, space=other)


def test_one_class_in_a_fold_names_target_fold_and_counts():
    y = np.array([0.0] * 11 + [1.0])
    folds = make_folds([f"family-{i}" for i in range(12)], n_outer=3, n_inner=2, seed=0)
    with pytest.raises(FoldError, match=r"target 'sex', outer fold \d.*: \d+ of class 0, 0 of class 1"):
        check_targets(folds, y[:, None], kinds=["classification"], names=["sex"])
