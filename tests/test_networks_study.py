"""A network study is right, or the message says which key is not; and which genes it asks for."""

import numpy as np
import pandas as pd
import pytest

from cortax.errors import InputError, StudyError
from cortax.provenance.files import file_digest
from cortax.workflow.workload import read_study
from cortax.workloads.network.check import check_network
from cortax.workloads.network.plan import GeneNames, choose_genes
from cortax.workloads.network.study import Expression, Genes, NetworkStudy
from cortax.workloads.regions.study.study import RegionsStudy

GOOD = """
kind = "network"
name = "net"
title = "A network"
[expression]
file = "expression.csv"
[regulators]
names = ["TF*"]
[forests.genie3]
n_trees = 10
[graph]
n_links = 5
"""


def read(tmp_path, text):
    (tmp_path / "net.toml").write_text(text)
    return read_study(tmp_path / "net.toml")


def test_the_kind_of_a_study_is_in_its_file(tmp_path):
    study = read(tmp_path, GOOD)
    assert isinstance(study, NetworkStudy)
    assert not isinstance(study, RegionsStudy)
    assert study.forests["genie3"].max_features == "sqrt"
    with pytest.raises(StudyError, match=r"net\.toml: kind = 'network': this is for studies with kind = 'regions'"):
        read_study(tmp_path / "net.toml", kind="regions")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('kind = "network"', 'kind = "netwrok"', r"kind: got 'netwrok'.*did you mean 'network'"),
        ('kind = "network"\n', "", r"expression: unknown key"),
        ("n_trees", "n_tree", r"forests\.genie3\.n_tree: unknown key.*did you mean 'n_trees'"),
        (
            "n_trees = 10",
            'method = "boosting"',
            r"forests\.genie3\.method: .*'extra_trees', 'grnboost' or 'lightgbm'; got 'boosting'",
        ),
        ("n_trees = 10", "max_features = 0", r"forests\.genie3\.max_features.*got 0"),
        ("[forests.genie3]\nn_trees = 10", "", r"forests: missing"),
        ('names = ["TF*"]', 'names = ["TF*"]\nfile = "tf.txt"', r"regulators: names = \['TF\*'\] and file = 'tf.txt'"),
        ("n_links = 5", "n_links = 200000", r"graph\.n_links = 200000 are more than links\.n_links = 100000"),
        ('name = "net"', 'name = "nets"', r"'nets' must be the file's own name, 'net'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old, new, said):
    assert old in GOOD
    with pytest.raises(StudyError, match=said):
        read(tmp_path, GOOD.replace(old, new, 1))


NAMES = ("b2", "TF2", "a1", "TF1")


def test_genes_are_chosen_by_pattern_and_sorted(tmp_path):
    assert choose_genes("targets", Genes(), NAMES, tmp_path) == ["TF1", "TF2", "a1", "b2"]
    assert choose_genes("targets", Genes(names=["TF*", "a1"]), NAMES, tmp_path) == ["TF1", "TF2", "a1"]
    with pytest.raises(StudyError, match=r"targets\.names: no gene is called so: got 'TF3'.*did you mean"):
        choose_genes("targets", Genes(names=["TF3"]), NAMES, tmp_path)
    many = [f"g{number}" for number in range(1000)]
    with pytest.raises(StudyError, match=r"got 'x', there are 1000: g0, g1, g10, g100, g101 and 995 more"):
        choose_genes("targets", Genes(names=["x"]), many, tmp_path)


def test_a_gene_whose_name_looks_like_a_pattern_is_that_gene(tmp_path):
    assert choose_genes("targets", Genes(names=["x[1]"]), ["x[1]", "x1"], tmp_path) == ["x[1]"]


def test_a_list_may_name_genes_that_are_not_there_and_they_are_told(tmp_path, capsys):
    (tmp_path / "tf.txt").write_text("# factors\nTF2\nTF9\n\nTF1\n")
    assert choose_genes("regulators", Genes(file="tf.txt"), NAMES, tmp_path) == ["TF1", "TF2"]
    assert "1 of 3 genes are not in the matrix and left out: TF9" in capsys.readouterr().out
    (tmp_path / "tf.txt").write_text("TF9\n")
    with pytest.raises(InputError, match="names 1 genes, none of which is among the 4"):
        choose_genes("regulators", Genes(file="tf.txt"), NAMES, tmp_path)
    with pytest.raises(InputError, match=r"regulators\.file cannot be read: .*gone\.txt"):
        choose_genes("regulators", Genes(file="gone.txt"), NAMES, tmp_path)


def test_names_of_genes_are_remembered_by_content(tmp_path):
    path = tmp_path / "expression.csv"
    path.write_text("a,b\n1,2\n3,4\n5,7\n")
    digest, memory = file_digest(path), GeneNames(tmp_path / "genes")
    asked = Expression(file="expression.csv")
    found = memory.of(tmp_path, asked, digest)
    assert (found.names, found.n_samples) == (("a", "b"), 3)
    path.write_text("")
    assert memory.of(tmp_path, asked, digest) == found
    for known in (tmp_path / "genes").iterdir():
        known.write_text("{")
    path.write_text("a,b\n1,2\n3,4\n5,7\n")
    assert memory.of(tmp_path, asked, digest) == found
    path.write_text("x,a,b,c\ny,1,2,3\nz,3,4,5\n")
    rows = memory.of(tmp_path, Expression(file="expression.csv", genes_in="rows"), digest)
    assert (rows.names, rows.n_samples) == (("y", "z"), 3)


LAYOUT = GOOD.replace('names = ["TF*"]', "").replace("n_links = 5", "n_links = 5\n")


def write_matrix(folder, *, genes_in, index, n_genes=8, n_samples=5, names=True):
    """A matrix of named genes and samples, with the names of its rows in a column of that header."""
    values = np.random.default_rng(0).normal(size=(n_samples, n_genes))
    frame = pd.DataFrame(values, [f"s{i}" for i in range(n_samples)], [f"TF{i}" for i in range(n_genes)])
    frame = frame.T if genes_in == "rows" else frame
    frame.to_csv(folder / "expression.csv", index=names, index_label=index if names else None)


@pytest.mark.parametrize("known", ["regulators", "patterns", "targets", "truth"])
@pytest.mark.parametrize("really", ["rows", "columns"])
def test_genes_on_the_other_side_are_found_by_the_names_that_the_study_has(tmp_path, known, really):
    write_matrix(tmp_path, genes_in=really, index="")
    (tmp_path / "list.txt").write_text("TF1\nTF2\n")
    (tmp_path / "truth.tsv").write_text("TF1\tTF2\n")
    said = {
        "regulators": '[regulators]\nfile = "list.txt"\n',
        "patterns": '[regulators]\nnames = ["TF*"]\n',
        "targets": '[targets]\nnames = ["TF3"]\n',
        "truth": '[truth]\nfile = "truth.tsv"\n',
    }[known]
    other = "columns" if really == "rows" else "rows"
    text = LAYOUT.replace("[regulators]\n", "").replace('csv"', f'csv"\ngenes_in = "{other}"') + said
    with pytest.raises(
        StudyError, match=rf"of the genes that the study names, 0 are {other} .*Say genes_in = '{really}'"
    ):
        check_network(read(tmp_path, text), tmp_path)
    check_network(read(tmp_path, text.replace(f'"{other}"', f'"{really}"')), tmp_path)


def test_a_shape_that_is_unusual_is_asked_about_once(tmp_path):
    text = LAYOUT.replace("[regulators]\n", "")
    write_matrix(tmp_path, genes_in="rows", index="")
    with pytest.raises(StudyError, match=r"8 named rows, such as \['TF0'.*5 columns.*Which are the genes\?"):
        check_network(read(tmp_path, text), tmp_path)
    for said in ("rows", "columns"):
        check_network(read(tmp_path, text.replace('csv"', f'csv"\ngenes_in = "{said}"')), tmp_path)
    write_matrix(tmp_path, genes_in="columns", index="", n_samples=30, names=False)
    check_network(read(tmp_path, text), tmp_path)
