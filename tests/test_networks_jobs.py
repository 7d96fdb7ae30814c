"""What the jobs of a network do: genes on disk, regressions by workers elsewhere, agreement block by block."""

import re
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from cortax.errors import InputError, ProjectError
from cortax.payload import open_sealed
from cortax.workflow.work import remote
from cortax.workflow.work.payload import write_payload
from cortax.workflow.work.remote import WorkerSetup, work
from cortax.workloads.network.agreement import Regressed, score_forests
from cortax.workloads.network.forests import ForestOptions, Regulators, gene_importances
from cortax.workloads.network.store import (
    GeneValues,
    open_genes,
    open_importances,
    read_cell,
    save_genes,
    save_importances,
    some_genes,
)
from cortax.workloads.network.tasks import RegressionTask
from cortax.workloads.network.truth import find_candidates, network_scores, read_gold_standard

OPTIONS = ForestOptions("forest", n_trees=5)


@pytest.fixture
def genes():
    values = np.random.default_rng(1).normal(size=(6, 20))
    values[3:] += values[:3]
    return GeneValues(tuple("fbdace"), values)


def test_genes_come_back_as_they_were_and_are_taken_out_by_name(genes, tmp_path):
    save_genes(tmp_path, genes)
    found = open_genes(tmp_path)
    assert found.names == genes.names
    np.testing.assert_array_equal(found.values, genes.values)
    every = some_genes(found, None)
    assert every.names == tuple("abcdef")
    np.testing.assert_array_equal(every.values[0], genes.values[3])
    some = some_genes(found, ["d", "f"])
    np.testing.assert_array_equal(some.values, genes.values[[2, 0]])
    with pytest.raises(InputError, match="no gene 'x', nor 0 more"):
        some_genes(found, ["a", "x"])


def test_genes_are_the_same_bytes_wherever_they_were_in_the_matrix(genes, tmp_path):
    order = [4, 0, 5, 2, 1, 3]
    other = GeneValues(tuple(genes.names[i] for i in order), genes.values[order])
    for folder, matrix in (("one", genes), ("other", other)):
        (tmp_path / folder).mkdir()
        save_genes(tmp_path / folder, some_genes(matrix, ["b", "a"]))
    for file in ("genes.npy", "genes.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_a_clean_process_finds_the_same_bytes(genes, tmp_path):
    regulators, targets = some_genes(genes, ["a", "b", "f"]), some_genes(genes, ["a", "c", "e"])
    task = RegressionTask.of(regulators, targets, OPTIONS)
    outcomes, _ = work(WorkerSetup(write_payload(tmp_path / "payload", task), 1 << 30), range(3))
    remote._end_helpers()
    assert [outcome.what for outcome in outcomes] == ["done"] * 3, [outcome.message for outcome in outcomes]
    assert [unit.keys for unit in task.units()] == [("a",), ("c",), ("e",)]
    shared = Regulators.prepare(regulators.values.T, regulators.names)
    rows = task.read(dict(zip("ace", (outcome.values[0] for outcome in outcomes), strict=True)))
    for name, values, found in zip(targets.names, targets.values, rows, strict=True):
        assert found.tobytes() == gene_importances(shared, name, values, OPTIONS).tobytes()
    # A gene is no regulator of itself.
    assert rows[0][0] == 0
    with pytest.raises(ProjectError, match="c: the bytes are not those that a worker returned"):
        open_sealed("c", outcomes[0].values[0])


def test_bytes_that_are_no_cell_are_refused():
    with pytest.raises(ProjectError, match="not what was packed"):
        read_cell(b"nonsense")


def test_importances_and_what_is_constant_come_back(genes, tmp_path):
    values = genes.values.copy()
    values[1] = 7.0
    targets = GeneValues(genes.names, values)
    save_importances(tmp_path, targets, [np.arange(3.0) + number for number in range(6)], 3)
    found = open_importances(tmp_path, ["x", "y", "z"])
    assert found.genes == genes.names
    assert found.constant == ("b",)
    assert [(gene, list(row)) for gene, row in found.rows(leave=["b", "d", "a", "c"])] == [
        ("f", [0, 1, 2]),
        ("e", [5, 6, 7]),
    ]
    with pytest.raises(ProjectError, match=re.escape("importances of shape (6, 3) are not those of 2 regulators")):
        open_importances(tmp_path, ["x", "y"])


def test_blocks_agree_with_what_is_known_as_the_whole_does(genes, tmp_path, capsys):
    (tmp_path / "truth.tsv").write_text("f\ta\nb\tc\nd\te\nd\tunheard\n")
    gold = read_gold_standard(tmp_path / "truth.tsv")
    regulators = Regulators.prepare(genes.values.T, genes.names)
    rows = {
        name: gene_importances(regulators, name, values, OPTIONS)
        for name, values in zip(genes.names, genes.values, strict=True)
    }
    parts = []
    for forest, block, left_out in (("genie3", "fbd", ""), ("genie3", "acef", "f"), ("other", "fbdace", "")):
        folder = tmp_path / f"{forest}-{block}"
        folder.mkdir()
        save_importances(folder, some_genes(genes, list(block)), [rows[gene] for gene in block], 6)
        parts.append((forest, open_importances(folder, genes.names), list(left_out)))
    whole = {"genie3": 2, "other": 1}
    table = score_forests(Regressed(parts, genes.names, whole), gold)
    assert list(table["forest"]) == ["genie3", "other"]
    links = pd.DataFrame(
        [(a, b, rows[b][i]) for b in genes.names for i, a in enumerate(genes.names) if a != b],
        columns=["regulator", "target", "importance"],
    )
    wanted = asdict(network_scores(find_candidates(links, gold, regulators=genes.names, targets=genes.names)))
    for row in table.drop(columns="forest").to_dict("records"):
        assert row == wanted
    assert wanted["n_candidates"] == 30
    del parts[0]
    assert list(score_forests(Regressed(parts, genes.names, whole), gold)["forest"]) == ["other"]
    assert "genie3: 1 of 2 regressions are missing: it is not scored" in capsys.readouterr().out
    del parts[1]
    with pytest.raises(InputError, match="there is nothing to score"):
        score_forests(Regressed(parts, genes.names, whole), gold)
