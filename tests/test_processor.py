"""The kind of processor in the record of a job, and what a build says of several."""

import json
import subprocess
import sys

import numpy as np
import threadpoolctl

from cortax.provenance import outputs
from cortax.provenance.processor import differences, processor
from cortax.workflow.build.asking import Built, _kernels_of_workers
from cortax.workflow.build.build import _tell_processors
from cortax.workflow.work.worker import check_threads


def test_what_the_libraries_themselves_say():
    code = (
        "import json, numba, numpy, llvmlite.binding; from cortax.provenance.processor import processor;"
        "print(json.dumps([processor(), llvmlite.binding.get_host_cpu_name()]))"
    )
    found, host = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert found["numba"] == host
    kernels = {pool["architecture"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}
    assert set(found["BLAS"].split()) <= kernels
    assert found["BLAS"]
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    assert found["numpy"].split() == [*simd["baseline"], *simd.get("found", [])]


def test_nothing_is_loaded_to_find_out():
    code = "import sys; from cortax.provenance.processor import processor; print(processor(), 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "{} False\n"


def test_it_is_in_the_record_and_in_no_digest(tmp_path, monkeypatch):
    (tmp_path / "result").write_text("1")
    here = outputs.record(tmp_path, ["result"], method="m", name="n")
    assert here.processor == outputs.read(tmp_path).processor == processor()
    monkeypatch.setattr(outputs, "processor", lambda: {"BLAS": "Elsewhere"})
    there = outputs.record(tmp_path, ["result"], method="m", name="n")
    assert there.processor == {"BLAS": "Elsewhere"}
    assert there.digest == here.digest
    record = json.loads((tmp_path / "outputs.json").read_text())
    del record["processor"]  # of a job that was made before
    (tmp_path / "outputs.json").write_text(json.dumps(record))
    assert outputs.read(tmp_path).processor == {}


def test_a_build_tells_of_several_kinds(capsys):
    one, other = {"BLAS": "Haswell", "numba": "skylake"}, {"BLAS": "SkylakeX"}
    assert differences({"a": one, "b": one, "c": {}}) == {}
    assert differences({"a": one, "b": other}) == {"BLAS": {"Haswell": ["a"], "SkylakeX": ["b"]}}
    _tell_processors(Built(made_on={"a": one, "b": one}))
    assert capsys.readouterr().err == ""
    _tell_processors(Built(made_on={"tune/a": one, "tune/b": other, "load": one}))
    assert "(Haswell: 2 jobs, such as tune/a; SkylakeX: 1 jobs, such as tune/b)" in capsys.readouterr().err


def test_workers_tell_their_kernels(tmp_path):
    assert _kernels_of_workers(tmp_path) == {}
    (tmp_path / "pool.json").write_text(json.dumps({"threads": check_threads()}))
    assert _kernels_of_workers(tmp_path)["BLAS"] == processor()["BLAS"]
