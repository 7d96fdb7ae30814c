"""A job that fails stops nothing but what depends on it, is told by `cortax errors`, and is all that is tried again."""

import pytest

pytestmark = pytest.mark.slow

MODELS = """
from sklearn.linear_model import LogisticRegression, Ridge


class Fragile(Ridge):
    def fit(self, X, y):
        {0}
        return super().fit(X, y)


class FragileToo(LogisticRegression):
    def fit(self, X, y):
        {0}
        return super().fit(X, y)
"""
PIPELINES = """
[pipelines.fragile]
kind = "sklearn"
n_configs = 2
regression = "cortax.my_models:Fragile"
classification = "cortax.my_models:FragileToo"
space = { }
parcellations = ["blocks"]

[evaluate]
"""


@pytest.fixture(scope="module")
def broken(project):
    """A study of which one pipeline cannot be fitted, and what its build said."""
    (project.root / "cortax/my_models.py").write_text(MODELS.format('raise ArithmeticError("the model is fragile")'))
    project.edit("studies/mini.toml", "[evaluate]\n", PIPELINES)
    return project.run(check=False)


def test_the_rest_is_built(project, broken):
    assert broken.code == 1, broken.text
    log = project.build_log()
    assert log["failed"] == ["tune/blocks/fragile"]
    assert log["skipped"] == {"evaluate/blocks/fragile": ["tune/blocks/fragile"]}
    assert set(project.scores()["pipeline"]) == {"ridge"}
    assert "the scores are INCOMPLETE" in broken.text
    assert "INCOMPLETE" in project.ax("urd", "mini/latest").stdout


def test_errors_say_what_and_why(project, broken):
    said = project.cortax("errors", "mini").stdout
    assert "tune/blocks/fragile" in said
    assert "ArithmeticError: the model is fragile" in said
    assert "evaluate/blocks/fragile: not tried, it needs tune/blocks/fragile" in said
    assert "Traceback" in project.cortax("errors", "mini", "--traceback").stdout


def test_only_what_failed_is_tried_again(project, broken):
    again = project.run(check=False)
    # What takes a while is printed as MAKE before it fails.
    assert (again.code, set(again.made) - {"tune"}) == (1, set())
    assert "DONE" not in again.text
    (project.root / "cortax/my_models.py").write_text(MODELS.format("pass"))
    mended = project.run()
    assert sorted(mended.made) == ["evaluate", "scores", "tune"]
    assert set(project.scores()["pipeline"]) == {"ridge", "fragile"}
    assert "no job failed\n0 kinds of failures inside jobs" in project.cortax("errors", "mini").stdout
