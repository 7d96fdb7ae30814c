"""A build that cannot work is refused with one message, makes nothing, and goes on once the study is mended.

Which message belongs to which mistake is in `tests/test_bad_input.py`; here is what the two commands make of it.
"""

import pytest

pytestmark = pytest.mark.slow

TABLE = "input/mini/participants.tsv"
STUDY = "studies/mini.toml"


def finished(project):
    """Jobs that have recorded results."""
    return sorted(path.parent.name for path in project.root.glob("workdirs/main/*/outputs.json"))


@pytest.fixture
def mended(project):
    """Put the study and its table back after the test."""
    kept = {name: (project.root / name).read_text() for name in (STUDY, TABLE)}
    yield
    for name, text in kept.items():
        project.write(name, text)


def refused(project, command, *said):
    """The command refuses the study with this message, and nothing is made; return all that it printed."""
    before, log = finished(project), project.build_log()
    if command == "cortax build":
        done = project.cortax("build", "mini", check=False)
        code, text = done.returncode, done.stdout + done.stderr
    else:
        run = project.run(check=False)
        code, text = run.code, run.text
    assert code == 1
    assert [words for words in said if words not in text] == [], text
    assert "Traceback" not in text
    assert finished(project) == before
    assert project.build_log() == log
    return text


def test_unknown_key(project, mended):
    project.edit(STUDY, "n_configs = 3", "n_config = 3")
    said = ["studies/mini.toml: pipelines.ridge.n_config: unknown key", "did you mean 'n_configs'?"]
    text = refused(project, "cortax build", *said)
    assert text.startswith("cortax: ")
    assert "Traceback" not in text
    refused(project, "ax run", *said)


def test_unknown_pipeline(project, mended):
    project.edit(STUDY, 'kind = "ridge"', 'kind = "rigde"')
    refused(project, "ax run", "pipelines.ridge: kind: got 'rigde'", "did you mean 'ridge'?")


def test_one_class_in_a_fold(project, mended):
    lines = (project.root / TABLE).read_text().splitlines()
    few = [line.replace("\tF", "\tM") if number > 2 else line[:-1] + "F" for number, line in enumerate(lines)]
    project.write(TABLE, "\n".join([lines[0], *few[1:]]) + "\n")
    refused(project, "cortax build", "participants.tsv: target 'sex', outer fold", "0 of class 1")


def test_a_mended_study_goes_on(project, mended):
    project.edit(STUDY, "n_configs = 3", "n_configs = 0")
    refused(project, "ax run", "pipelines.ridge.n_configs", "got 0")
    project.edit(STUDY, "n_configs = 0", "n_configs = 4")
    run = project.run()
    # What is chosen may be the same, and then nothing below needs to run.
    assert {"tune"} <= set(run.made) <= {"tune", "evaluate", "scores"}
    assert {"load", "parcellate", "phenotype", "split"} <= set(run.linked)


def test_an_image_of_another_space_stops_the_job_that_reads_it(project):
    """Only the job can find it; the jobs that do not read images are not lost, and it is told by file."""
    path = project.root / "input/mini/sub-003/sub-003_hemi-L_thickness.npy"
    good = path.read_bytes()
    path.write_bytes((project.root / "input/mini/soft.npy").read_bytes())
    before = finished(project)
    run = project.run(check=False)
    assert run.code == 1
    assert "sub-003_hemi-L_thickness.npy" in run.text
    assert finished(project) == before
    assert not list(project.root.glob("workdirs/main/*/*.new"))
    path.write_bytes(good)
    assert project.run().code == 0
