"""Back-ends that cannot be had, and workers that cannot work: one clear message each."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import BACKENDS, ROOT, run
from units import PlannedTask

from cortax.errors import ProjectError
from cortax.workflow.work.backend_workers import hire_from_backend
from cortax.workflow.work.backends import BACKEND_MODULES, Setup, start_backend
from cortax.workflow.work.payload import PayloadRef, write_payload
from cortax.workflow.work.units import Level


def test_the_suite_knows_every_backend() -> None:
    assert set(BACKENDS) == set(BACKEND_MODULES)


def test_an_unknown_backend(place: Path) -> None:
    with pytest.raises(ProjectError, match=r"backend: got 'rai', must be one of .*did you mean 'ray'\?"):
        start_backend("rai", Setup(1, 1 << 20, place))


@pytest.mark.parametrize(("name", "package"), [("ray", "ray"), ("dask", "distributed"), ("slurm", "dask_jobqueue")])
def test_a_backend_that_is_not_installed(name: str, package: str, place: Path) -> None:
    code = f"""
import sys
from pathlib import Path
real = list(sys.meta_path)
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {package!r}:
            return None
        for finder in real:
            if (found := finder.find_spec(name, path, target)) is not None:
                return found
sys.meta_path[:] = [Finder]
from cortax.errors import ProjectError
from cortax.workflow.work.backends import Setup, start_backend
try:
    start_backend({name!r}, Setup(1, 1 << 20, Path("x")))
except ProjectError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    install = f"{sys.executable} -m pip install -e '{ROOT}[{name}]'"
    assert done.stdout == f"backend {name!r} needs the package {package!r}, which is not installed: {install}\n"


def test_a_dask_that_does_not_answer(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTAX_DASK_ADDRESS", "tcp://127.0.0.1:9")
    with pytest.raises(ProjectError, match=r"no Dask scheduler answers at CORTAX_DASK_ADDRESS='tcp://127.0.0.1:9'"):
        start_backend("dask", Setup(1, 1 << 20, place, seconds=3))


def test_a_dask_without_workers(place: Path, dask_address: str) -> None:
    with pytest.raises(ProjectError, match="has had no worker for 3 s"):
        start_backend("dask", Setup(1, 1 << 20, place, seconds=3))


def test_a_ray_that_does_not_answer(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTAX_RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(ProjectError, match=r"no Ray cluster answers at CORTAX_RAY_ADDRESS='127.0.0.1:9'"):
        start_backend("ray", Setup(1, 1 << 20, place, seconds=3))


def test_no_slurm_here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place))
    with pytest.raises(ProjectError, match="there is no sbatch here"):
        start_backend("slurm", Setup(1, 1 << 20, place))


def test_a_slurm_that_does_not_answer(place: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = (slurm / "slurm.conf").read_text()
    (place / "slurm.conf").write_text(re.sub(r"SlurmctldPort=\d+", "SlurmctldPort=9", conf))
    shutil.copy(slurm / "cgroup.conf", place)
    monkeypatch.setenv("SLURM_CONF", str(place / "slurm.conf"))
    with pytest.raises(ProjectError, match="SLURM does not answer: sinfo"):
        start_backend("slurm", Setup(1, 1 << 20, place))


def test_options_that_slurm_does_not_take(place: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTAX_SLURM_OPTIONS", "--partition=nowhere")
    with pytest.raises(ProjectError, match=r"nowhere|partition"):
        run("slurm", place, [("sum", 0.0)])


def test_jobs_that_end_before_their_workers_begin(place: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # No Python can start like this.
    monkeypatch.setenv("CORTAX_SLURM_OPTIONS", "--export=PYTHONHOME=/nowhere")
    with pytest.raises(
        ProjectError, match=r"jobs of SLURM end before their workers begin; the last said: (?s:.*)encodings"
    ):
        run("slurm", place, [("sum", 0.0)])


def _wait(ref: PayloadRef, place: Path) -> None:
    with hire_from_backend("loky", ref, place / "scratch", [1.0]) as hire:
        workers = hire(Level(1, 1 << 28))
        workers.give(0)
        while not workers.wait():
            pass


def _payload(place: Path) -> PayloadRef:
    return write_payload(place / "p", PlannedTask([("sum", 0)], np.zeros((2, 2))))


def test_a_folder_that_workers_do_not_see(place: Path) -> None:
    ref = _payload(place)
    shutil.rmtree(place / "p")
    with pytest.raises(
        ProjectError, match=r"payload\.json: not there; it must lie on a file system that all workers see"
    ):
        _wait(ref, place)


def test_another_folder_of_the_same_name(place: Path) -> None:
    ref = _payload(place)
    with pytest.raises(ProjectError, match="not the folder that the build wrote"):
        _wait(PayloadRef(ref.folder, "0"), place)


def test_a_damaged_array(place: Path) -> None:
    ref = _payload(place)
    (place / "p" / "values.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ProjectError, match="the inputs of workers are damaged"):
        _wait(ref, place)


def test_workers_with_other_code(place: Path) -> None:
    ref = _payload(place)
    path = place / "p" / "payload.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "code": content["code"].replace("python 3", "python 2")}))
    with pytest.raises(ProjectError, match=r"the code here is not that of the build: .*python"):
        _wait(ref, place)


def test_inputs_are_not_written_over(place: Path) -> None:
    _payload(place)
    with pytest.raises(ProjectError, match="the inputs of workers cannot be written"):
        _payload(place)
