"""A study file is right, or the message says which key is not and what would be."""

from pathlib import Path

import pytest

from cortax.errors import StudyError
from cortax.study import read_any_study, read_study

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


def read(tmp_path, text):
    (tmp_path / "good.toml").write_text(text)
    return read_study(tmp_path / "good.toml")


def test_a_good_study_is_read(tmp_path):
    study = read(tmp_path, GOOD)
    assert study.parcellations_of("ridge") == ["ico-1", "ico-2"]
    assert study.splits.n_outer == 5


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.toml")), ids=lambda p: p.stem)
def test_the_studies_that_come_with_cortax_are_valid(path):
    assert read_any_study(path).name == path.stem


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("n_configs", "n_config", r"pipelines\.ridge\.n_config: unknown key.*did you mean 'n_configs'"),
        ("n_configs = 5", 'n_configs = "many"', r"pipelines\.ridge\.n_configs: .*got 'many'"),
        ("n_configs = 5", "n_configs = 0", r"pipelines\.ridge\.n_configs: .*greater than or equal to 1; got 0"),
        ('kind = "regression"', 'kind = "regresion"', r"targets\.age\.kind: .*'regression' or 'classification'"),
        ('["ico-*"]', '["ico1"]', r"pipelines\.ridge\.parcellations: nothing matches.*did you mean 'ico-1'"),
        ('title = "A study"\n', "", r"title: missing"),
        ("[targets.age]", "[target.age]", r"target: unknown key.*did you mean 'targets'"),
        ('kind = "icosahedral"\nlevel = 1', "level = 1", r"parcellation 'ico-1' needs kind"),
        ('name = "good"', 'name = "bad"', r"'bad' must be the file's own name, 'good'"),
        ('name = "good"', 'name = "good', r"not valid TOML"),
        ("[targets.age]", "[splits]\nscheme = 'leave-one-site-out'\n[targets.age]", r"needs phenotypes\.site"),
        ("[targets.age]", "[splits]\nn_outer = 1\n[targets.age]", r"splits\.n_outer: .*got 1"),
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
