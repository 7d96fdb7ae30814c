"""A study file is right, or the message says which key is not and what would be."""

from pathlib import Path

import pytest

from cortax.errors import StudyError
from cortax.workflow.workload import read_study

ROOT = Path(__file__).resolve().parents[1]

GOOD = """
name = "good"
title = "A study"
[images]
root = "input"
space = "fsaverage5"
maps = { thickness = "{participant_id}_{hemi}.gii" }
[phenotypes]
file = "participants.tsv"
[targets.age]
kind = "regression"
[parcellations.ico-1]
kind = "icosahedral"
level = 1
[parcellations.ico-2]
kind = "icosahedral"
level = 2
[pipelines.ridge]
kind = "ridge"
n_configs = 5
parcellations = ["ico-*"]
"""


TABLE = "[tables.t]\nfiles = ['t.csv']\n"
EDGES = "[connectivity.e]\nroot = 'input'\nmatrices = '{participant_id}.npy'\n"


def read(tmp_path, text):
    (tmp_path / "good.toml").write_text(text)
    return read_study(tmp_path / "good.toml")


def test_a_good_study_is_read(tmp_path):
    study = read(tmp_path, GOOD)
    assert study.parcellations_of("ridge") == ["ico-1", "ico-2"]
    assert study.splits.n_outer == 5


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.toml")), ids=lambda p: p.stem)
def test_the_studies_that_come_with_cortax_are_valid(path):
    assert read_study(path).name == path.stem


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("n_configs", "n_config", r"pipelines\.ridge\.n_config: unknown key.*did you mean 'n_configs'"),
        ("n_configs = 5", 'n_configs = "many"', r"pipelines\.ridge\.n_configs: .*got 'many'"),
        (
            'kind = "ridge"',
            'kind = "lgbm"\nstrategy = { sampler = "tpe" }',
            r"pipelines\.ridge\.strategy\.sampler: .*sampler 'tpe' was removed",
        ),
        ("n_configs = 5", "n_configs = 0", r"pipelines\.ridge\.n_configs: .*greater than or equal to 1; got 0"),
        (
            'kind = "regression"',
            'kind = "regresion"',
            r"targets\.age\.kind: .*'regression', 'classification' or 'ordinal'",
        ),
        ('["ico-*"]', '["ico1"]', r"pipelines\.ridge\.parcellations: nothing matches.*did you mean 'ico-1'"),
        ('title = "A study"\n', "", r"title: missing"),
        ("[targets.age]", "[target.age]", r"target: unknown key.*did you mean 'targets'"),
        ('kind = "icosahedral"\nlevel = 1', "level = 1", r"parcellation 'ico-1' needs kind"),
        ('name = "good"', 'name = "bad"', r"'bad' must be the file's own name, 'good'"),
        ('name = "good"', 'name = "good', r"not valid TOML"),
        ("[targets.age]", "[splits]\nscheme = 'leave-one-site-out'\n[targets.age]", r"needs phenotypes\.site"),
        ("[targets.age]", "[harmonise]\n[targets.age]", r"harmonise\.site = '<column>' is missing"),
        ("[targets.age]", "[harmonise]\nsite = 's'\npreserve = ['s']\n[targets.age]", "'s' is the site itself"),
        ("[targets.age]", "[harmonise]\nsite = 's'\npreserve = ['age']\n[targets.age]", "'age'.* columns of targets"),
        ("[targets.age]", "[harmonise]\nsite = 's'\ncategorical = ['x']\n[targets.age]", "not among those to preserve"),
        ("[targets.age]", "[splits]\nn_outer = 1\n[targets.age]", r"splits\.n_outer: .*got 1"),
        ('root = "input"', 'root = "input"\nsubjects = "l.txt"', r"images: subjects: goes with one file of all subj"),
        ('root = "input"', 'root = "input"\nid_prefix = "sub-"', r"images: id_prefix: goes with one file of all subj"),
        (
            "[targets.age]",
            f"{TABLE}subjects = 'l.txt'\n[targets.age]",
            r"tables\.t: subjects: goes with files of parcels",
        ),
        (
            "[targets.age]",
            f"{EDGES}transform = 'z'\n[targets.age]",
            r"connectivity\.e\.transform: .*'none' or 'fisher-z'",
        ),
        (
            "[targets.age]",
            f"{EDGES}subjects = 'l.txt'\n[targets.age]",
            r"connectivity\.e: subjects: goes with one file",
        ),
        ("[targets.age]", f"{EDGES}labels = 3\n[targets.age]", r"connectivity\.e\.labels: .*got 3"),
        ("[targets.age]", EDGES.replace(".e]", ".ico-1]") + "[targets.age]", r"\['ico-1'\]: one name in two of"),
        (
            "[targets.age]",
            EDGES.replace("{part", "{hemi}{part") + "[targets.age]",
            "one file a subject, without hemisph",
        ),
        ("[targets.age]", EDGES.replace("{part", "{session}-{part") + "[targets.age]", "without hemisphere, session"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old, new, said):
    assert old in GOOD
    with pytest.raises(StudyError, match=said) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert "good.toml" in str(caught.value)


def test_an_empty_study_is_refused(tmp_path):
    with pytest.raises(StudyError, match="missing"):
        read(tmp_path, "")
    start, end = GOOD.index("[images]"), GOOD.index("[phenotypes]")
    body = GOOD[:start] + GOOD[end:]
    cut = body.index("[parcellations.ico-1]")
    with pytest.raises(StudyError, match="the study is empty"):
        read(tmp_path, body[:cut] + body[body.index("[pipelines.ridge]") :])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StudyError, match=r"gone\.toml: cannot be read"):
        read_study(tmp_path / "gone.toml")


def test_a_file_that_is_not_text_is_named(tmp_path):
    (tmp_path / "good.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(StudyError, match="not valid TOML"):
        read_study(tmp_path / "good.toml")


def test_homes_and_variables_of_paths_are_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("COHORT", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", "/home/me")
    text = GOOD.replace('root = "input"', 'root = "$COHORT/maps"').replace('"participants.tsv"', '"~/${COHORT}.tsv"')
    text = text.replace("level = 2", 'mask = "$COHORT/cortex.npy"\nlevel = 2')
    study = read(tmp_path, text)
    assert study.images.root == f"{tmp_path}/data/maps"
    assert study.phenotypes.file == f"/home/me/{tmp_path}/data.tsv"
    assert study.parcellations["ico-2"]["mask"] == f"{tmp_path}/data/cortex.npy"
    # In a project they are relative to it: it may be moved.
    assert study.in_project(tmp_path).images.root == "data/maps"
    assert study.in_project(tmp_path).parcellations["ico-2"]["mask"] == "data/cortex.npy"
    assert study.in_project(tmp_path / "elsewhere").images.root == study.images.root
    lists = GOOD.replace('"input"', '"input"\nsubjects = "$COHORT/l.tsv#id"').replace("{participant_id}", "all")
    edges = EDGES.replace("{participant_id}", "all") + 'subjects = "~/l.txt"\nlabels = "$COHORT/regions.txt"\n'
    table = '[tables.t]\nfiles = ["t.pscalar.nii"]\nsubjects = "$COHORT/l.txt"\n'
    study = read(tmp_path, lists.replace("[targets.age]", f"{edges}{table}[targets.age]"))
    assert study.connectivity["e"].subjects == "/home/me/l.txt"
    study = study.in_project(tmp_path)
    assert (study.images.subjects, study.connectivity["e"].labels) == ("data/l.tsv#id", "data/regions.txt")
    assert study.tables["t"].subjects == "data/l.txt"
    monkeypatch.delenv("COHORT")
    with pytest.raises(StudyError, match=r"images\.root: '\$COHORT/maps': the environment variable 'COHORT'"):
        read(tmp_path, text)


def test_identifiers_and_conditions_are_no_paths(tmp_path):
    added = """file = "participants.tsv"
exclude = ["$1", "~"]
where = "`$x` == '~'"
"""
    study = read(tmp_path, GOOD.replace('file = "participants.tsv"\n', added))
    assert study.phenotypes.exclude == ["$1", "~"]
    assert study.phenotypes.where == "`$x` == '~'"
    with pytest.raises(StudyError, match=r"phenotypes\.where: where = '`\$x` = 1', character 6, at '= 1': write `==`"):
        read(tmp_path, GOOD.replace('file = "participants.tsv"', added.replace("== '~'", "= 1")))
