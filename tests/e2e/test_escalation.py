"""Cells that need more memory than their share get it, one after the other; what needs more than all is told."""

import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.slow

# What a model holds follows from the target: it has no other way of telling one from another.
MODEL = """
import numpy as np
from sklearn.linear_model import Ridge

NEEDS = {{0: 0.2, 1: 1.2, 2: 3.0, 3: 6.0}}


class Hungry(Ridge):
    def fit(self, X, y):
        held = np.ones(int(NEEDS[round(np.mean(y) / 100)] * {unit}), np.uint8)
        super().fit(X, y)
        self.held_ = int(held[-1])
        return self
"""
PIPELINE = """
[pipelines.hungry]
kind = "sklearn"
regression = "dev.hungry:Hungry"
n_configs = 1
space = { }
parcellations = ["soft"]

[evaluate]
"""
TARGETS = ["small", "fair", "large", "huge"]


def available():
    """Bytes of memory that nobody uses."""
    (kilobytes,) = re.findall(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return int(kilobytes) * 1024


@pytest.fixture
def hungry(project):
    """A study whose four targets need 0.2, 1.2, 3 and 6 units of memory in every fold; with the unit, in MB."""
    unit = 1000 if available() > 12e9 else 100
    project.write("dev/hungry.py", MODEL.format(unit=unit * 10**6))
    path = project.root / "input/mini/participants.tsv"
    table = pd.read_csv(path, sep="\t")
    for number, name in enumerate(TARGETS):
        table[name] = table["fluid"] + 100 * number
    table.to_csv(path, sep="\t", index=False)
    text = (project.root / "studies/mini.toml").read_text()
    targets = "".join(f'[targets.{name}]\nkind = "regression"\n\n' for name in TARGETS)
    head, _, rest = text.partition("[targets.fluid]")
    project.write("studies/mini.toml", head + targets + rest[rest.index("[splits]") :])
    project.edit("studies/mini.toml", "\n[evaluate]\n", PIPELINE)
    os.utime(path, (path.stat().st_mtime - 60,) * 2)
    return unit


def test_all_cells_end_but_those_that_need_more_than_there_is(project, hungry, monkeypatch):
    monkeypatch.setenv("CORTAX_WORKERS", "4")
    monkeypatch.setenv("CORTAX_MEMORY", f"{4 * hungry}MB")
    failed = project.run(check=False)
    assert failed.code == 1
    assert project.build_log()["failed"] == ["tune/soft/hungry"]
    said = project.cortax("errors", "mini").stdout
    lost, needs, had = re.search(
        r"huge, outer fold 0.*(MemoryError).* needs at least ([\d.]+ .B), and had ([\d.]+ .B)", said
    ).groups()
    assert lost == "MemoryError"
    assert (needs[-2:], had) == (("GB", "4 GB") if hungry == 1000 else ("MB", "400 MB"))
    assert 6 <= float(needs[:-3]) / (1 if hungry == 1000 else 100) < 6.5
    # By target, fold and attempt: how many workers shared the memory.
    attempts = json.loads((project.root / ".cortax/failures/mini.json").read_text())["failed"][0]["units"]
    assert {unit["kind"] for unit in attempts} == {"MemoryError"}  # nothing was killed
    tried = {name: [u["workers"] for u in attempts if u["keys"] == [f"{name}, outer fold 0"]] for name in TARGETS}
    assert tried == {"small": [], "fair": [4], "large": [4, 2], "huge": [4, 2, 1]}
    monkeypatch.setenv("CORTAX_MEMORY", f"{8 * hungry}MB")
    mended = project.run()
    assert sorted(mended.made) == ["evaluate", "scores", "tune"]
    told = json.loads((project.job("tune/soft/hungry") / "pool.json").read_text())
    assert (told["n_units"], told["n_resumed"], told["failed"]) == (12, 9, [])
    assert told["done"] == {"1": 3}
