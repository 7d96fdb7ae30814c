"""An installed cortax makes a project in the user's own folder, and builds there."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cortax.cli.init import project_files

SOURCE = Path(__file__).resolve().parents[2]


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_new_project_has_the_settings_and_scripts_of_this_one():
    files = project_files()
    for name in ("accelerator.conf", "dev/__init__.py", "dev/build_studies.py"):
        assert files[name] == (SOURCE / name).read_text(), name


def init(folder):
    command = [sys.executable, "-c", "from cortax.cli import main; main()", "init", str(folder)]
    return subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, timeout=120)


def test_nothing_that_is_there_is_replaced(tmp_path):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/__init__.py").write_text("MINE = 1\n")
    done = init(tmp_path)
    assert done.returncode == 1
    assert "dev/__init__.py must not be there before" in done.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["__init__.py"]


def test_a_repository_keeps_its_files_and_what_it_ignores(tmp_path):
    (tmp_path / ".gitignore").write_text("/input/\n*.log")
    (tmp_path / "analysis.py").write_text("")
    assert init(tmp_path).returncode == 0
    lines = (tmp_path / ".gitignore").read_text().splitlines()
    assert lines[:2] == ["/input/", "*.log"]
    assert lines.count("/input/") == lines.count("/results/") == 1


def test_a_path_too_long_for_sockets_is_refused(tmp_path):
    folder = tmp_path / ("x" * 89)
    done = init(folder)
    assert done.returncode == 1
    assert "too long for the server's sockets" in done.stderr
    assert not folder.exists()


@pytest.fixture(scope="module")
def place():
    """A wheel in an environment of its own, with the packages of this one."""
    place = Path(tempfile.mkdtemp(prefix="cx"))
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("cortax", "methods"):
        shutil.copytree(SOURCE / name, place / "source" / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(SOURCE / name, place / "source")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    wheel = ["wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(place), str(place / "source")]
    run(*pip, *wheel, env={**os.environ, "PIP_CONFIG_FILE": os.devnull})
    run(sys.executable, "-m", "venv", "--without-pip", str(place / "venv"))
    python = place / "venv/bin/python"
    (wheel,) = place.glob("*.whl")
    run(*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    shutil.rmtree(place / "source")
    (site,) = place.glob("venv/lib/python*/site-packages")
    # Of the paths in such a file Python reads no further ones: the checkout that is installed there is not found.
    (site / "packages.pth").write_text(f"{next(path for path in sys.path if path.endswith('site-packages'))}\n")
    ax = place / "venv/bin/ax"
    ax.write_text(f"#!{python}\nimport sys\nfrom accelerator.shell import main\nsys.exit(main())\n")
    ax.chmod(0o755)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def files_in(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_wheel_builds_in_a_folder_of_the_users(place):
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "CORTAX_ROOT")}
    env |= {"HOME": str(place / "home"), "COLUMNS": "200"}
    cortax, project = str(place / "venv/bin/cortax"), place / "project"
    before = files_in(place / "venv")
    run(cortax, "init", str(project), cwd="/", env=env)
    try:
        # A model of the user's own, beside the study.
        model = "from sklearn.neighbors import KNeighborsRegressor\n\n\nclass Mine(KNeighborsRegressor):\n    pass\n"
        (project / "mymodels.py").write_text(model)
        with open(project / "studies/example.toml", "a") as file:
            file.write('\n[pipelines.mine]\nkind = "sklearn"\nregression = "mymodels:Mine"\n')
            file.write('classification = "sklearn.neighbors:KNeighborsClassifier"\n')
            file.write("n_configs = 2\nspace = { n_neighbors = [5, 9] }\n")
        built = run(cortax, "build", "example", cwd=project / "studies", env=env)
        assert "SIMULATED" in built
        found = run(cortax, "results", "example", cwd=project, env=env)
        assert "ridge" in found
        assert "mine" in found
        assert "nothing would run" in run(cortax, "plan", "example", cwd=project, env=env)
        manifest = (project / ".cortax/manifests/methods.regions.a_tune.txt").read_text()
        assert " methods/regions/a_tune.py\n" in manifest
        assert " cortax/learning/folds.py\n" in manifest
        (project / "mymodels.py").write_text(model.replace("pass", "other = 1"))
        planned = run(cortax, "plan", "example", "--all", cwd=project, env=env)
        assert "mine" in planned
        assert "mymodels" in planned
    finally:
        run(cortax, "down", "--force", cwd=project, env=env)
    assert files_in(place / "venv") == before, "nothing is written beside an installed package"
