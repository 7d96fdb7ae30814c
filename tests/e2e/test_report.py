"""The page of a study: written by its build, and another style of it runs nothing else."""

import pytest

pytestmark = pytest.mark.slow


def test_a_change_of_style_runs_the_report_alone(project):
    project.edit("studies/mini.toml", "enabled = false", "enabled = true")
    made = project.run().made
    assert sorted(made) == ["picture", "picture", "report"]
    report = project.root / "results/mini/report.html"
    before = report.read_text()
    assert "<title>SIMULATED DATA: Twenty-four subjects of noise</title>" in before
    assert f'/job/{project.jobs()["evaluate/blocks/ridge"]}"' in before
    project.edit("cortax/report/templates/page.css", "max-width: 76rem", "max-width: 75rem")
    assert project.run().made == ["report"]
    after = report.read_text()
    assert after.count("max-width: 75rem") == 1
