"""`cortax plan` refuses what `cortax build` would, with the same words, before anything has a price."""

import re
import shutil

import pytest

from cortax.errors import CortaxError
from cortax.workflow.build.preview import preview
from cortax.workflow.workload import read_study
from tests.e2e.conftest import SOURCE, STUDY, write_cohort

OWN = """[pipelines.ridge]
kind = "sklearn"
regression = "sklearn.linear_model:Lasso"
classification = "sklearn.linear_model:LogisticRegression"
n_configs = 1
"""
RIDGE = """[pipelines.ridge]
kind = "ridge"
n_configs = 3
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    (root / "workdirs/main").mkdir(parents=True)
    (root / "studies").mkdir()
    shutil.copy(SOURCE / "accelerator.conf", root)
    write_cohort(root / "input/mini")
    return root


@pytest.fixture
def planned(project, monkeypatch):
    """A function of the text of a study that plans it."""
    monkeypatch.setenv("CORTAX_ROOT", str(project))
    monkeypatch.chdir(project)

    def plan(text):
        (project / "studies/mini.toml").write_text(text)
        return preview(read_study(project / "studies/mini.toml"), project)

    return plan


def test_a_study_that_can_work_has_a_price(planned):
    found = planned(STUDY)
    assert len(found.jobs) == len(found.pending) == 12
    assert found.seconds > 0


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('kind = "ridge"', 'kind = "rigde"', "pipelines.ridge: kind: got 'rigde'.*did you mean 'ridge'"),
        ("n_configs = 3", "n_configs = 3\nspace = { alhpa = 1.0 }", "pipelines.ridge.*alhpa.*did you mean 'alpha'"),
        (RIDGE, OWN + "space = { alhpa = 1.0 }\n", "pipelines.ridge.*alhpa"),
        (RIDGE, OWN.replace("Lasso", "Laso"), "sklearn.linear_model:Laso"),
        ('["r2"]', '["r22"]', "metric.*'r22'"),
        ("[evaluate]", '[search]\nregression = "explained_varianc"\n\n[evaluate]', "search.*explained_varianc"),
        ("n_inner = 2", 'n_inner = 2\nstratify = "sxe"', "stratify.*'sxe'.*did you mean 'sex'"),
        ("n_inner = 2", 'n_inner = 2\nscheme = "leave-one-site-out"', "needs phenotypes.site"),
        ("n_outer = 3", "n_outer = 300", "300 folds need at least 300 groups; there are 12"),
        ("[targets.fluid]", "[targets.fluidd]", "target 'fluidd': no such column.*did you mean 'fluid'"),
        ('positive = "F"', 'positive = "G"', "positive.*'G'"),
        ('confounds = ["age"]', 'confounds = ["aeg"]', "confound: no such column.*did you mean 'age'"),
        ('group = "family_id"', 'group = "family"', "group: no such column.*did you mean 'family_id'"),
        ("blocks.npy", "block.npy", "block.npy: cannot be read"),
        ("_hemi-{hemi}_thickness", "_hemi-{hemi}_thicknes", "no file fits the pattern"),
    ],
)
def test_what_a_build_refuses_is_refused(planned, old, new, told):
    assert old in STUDY
    with pytest.raises(CortaxError, match=re.compile(told, re.S)):
        planned(STUDY.replace(old, new))
