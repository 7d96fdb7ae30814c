"""The scaling analysis of a study: a job of its own, and a change to it repeats nothing else."""

import json

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow

STUDY = "studies/mini.toml"
ENSEMBLE = '[ensembles.hard]\nparcellations = ["b*"]\nstrategies = ["voted", "grid"]\n\n'
SCALING = '[scaling]\nn_bootstrap = 20\n\n[scaling.types]\nsoft = ["soft"]\n\n'


def test_the_analysis_of_a_study_that_grows(project):
    more = ""
    for n_regions in (20, 80):
        labels = (np.arange(1284) * n_regions // 1284 + 1).astype(np.int32)
        np.save(project.root / f"input/mini/b{n_regions}.npy", labels)
        more += f'[parcellations.b{n_regions}]\nkind = "labels"\nfile = "input/mini/b{n_regions}.npy"\n\n'
    project.edit(STUDY, "[pipelines.ridge]", more + "[pipelines.ridge]")
    project.edit(STUDY, "[evaluate]", ENSEMBLE + SCALING + "[evaluate]")
    made = project.run().made
    counts = {name: made.count(name) for name in ("tune", "evaluate", "ensemble", "scaling")}
    assert counts == {"tune": 2, "evaluate": 2, "ensemble": 2, "scaling": 1}
    ranks = pd.read_parquet(project.root / "results/mini/ranks.parquet").set_index("parcellation")
    single, both = (ranks[ranks["group"] == group] for group in ("single", "with-ensembles"))
    assert single["size"].to_dict() == {"blocks": 10, "soft": 4, "b20": 20, "b80": 80}
    assert single["mean_rank"].mean() == 2.5
    assert both.loc[["hard/voted-3", "hard/grid-3"], "size"].tolist() == [110, 80]
    assert both.loc[["hard/voted-3", "hard/grid-3"], "type"].tolist() == ["voted", "grid"]
    assert set(ranks["n_targets"]) == {2}
    report = json.loads((project.root / "results/mini/scaling.json").read_text())
    assert f"slope {report['fits'][0]['law']['slope']:.6f}" in project.cortax("scaling", "mini").stdout
    assert json.loads(project.cortax("scaling", "mini", "--json").stdout) == report
    project.edit(STUDY, 'soft = ["soft"]', 'fine = ["b?0"]')
    assert project.run().made == ["scaling"]
