"""What people see of networks: which table, of which forests, in which words."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from cortax import cli
from cortax.errors import ProjectError
from cortax.grid.network_results import is_network, network_table
from cortax.provenance import outputs

LINKS = {
    "genie3": pd.DataFrame({"regulator": ["a", "b"], "target": ["b", "c"], "importance": [0.5, 0.25]}),
    "other": pd.DataFrame({"regulator": ["c"], "target": ["a"], "importance": [0.75]}),
}
TIMINGS = pd.DataFrame({"solver": ["cortax"], "elapsed": [2.0], "memory": [3e8], "cost_some": [2e-6]})


@pytest.fixture
def root(tmp_path, monkeypatch):
    (tmp_path / "accelerator.conf").write_text("")
    monkeypatch.delenv("AX_WORKDIR", raising=False)
    monkeypatch.chdir(tmp_path)
    jobs = {}

    def add(study, name, method, file, write):
        folder = tmp_path / "workdirs/main" / f"main-{len(jobs)}"
        folder.mkdir(parents=True)
        write(folder / file)
        outputs.record(folder, [file], method=method, name=f"{study}/{name}")
        jobs.setdefault(study, {})[name] = folder.name
        jobs[f"{study}/{name}"] = {}

    for forest, links in LINKS.items():
        add("net", f"rank/{forest}", "rank", "links.parquet", links.to_parquet)
        genes = pd.DataFrame({"gene": ["a", "NA"], "n_targets": [2, 0], "hub": [True, False]})
        add("net", f"graph/{forest}", "graph", "genes.tsv", lambda path, t=genes: t.to_csv(path, sep="\t", index=False))
    add("slow", "timings", "timings", "timings.parquet", TIMINGS.to_parquet)
    add("brain", "tune/a/ridge", "tune", "x", lambda path: path.write_text(""))
    for study in ("net", "slow", "brain"):
        (tmp_path / "results" / study).mkdir(parents=True)
        (tmp_path / "results" / study / "build.json").write_text(json.dumps({"jobs": jobs[study], "ran": {}}))
    return tmp_path


def test_tables_are_of_all_forests(root):
    links = network_table(root, "net", "links")
    assert list(links.columns) == ["forest", "rank", "regulator", "target", "importance"]
    assert links.to_dict("list")["forest"] == ["genie3", "genie3", "other"]
    assert links.to_dict("list")["rank"] == [1, 2, 1]
    genes = network_table(root, "net", "genes")
    assert set(genes["gene"]) == {"a", "NA"}, "a gene may be called so"
    pd.testing.assert_frame_equal(network_table(root, "slow", "timings"), TIMINGS)


def test_what_is_not_there_is_said(root):
    assert [is_network(root, study) for study in ("net", "slow", "brain", "gone")] == [True, True, False, False]
    for study, table, said in (
        ("net", "scores", r"has no scores: is \[truth\] in its file"),
        ("slow", "links", "has no links: is kind = network in its file"),
        ("net", "likns", r"table: got 'likns'.*did you mean 'links'"),
        ("brain", "links", "not one of networks; `cortax results brain` has its scores"),
        ("gone", "links", "no results of study 'gone'"),
    ):
        with pytest.raises(ProjectError, match=said):
            network_table(root, study, table)


def test_a_table_that_was_altered_is_not_shown(root):
    (root / "workdirs/main/main-0/links.parquet").write_bytes(b"x")
    with pytest.raises(ProjectError, match=r"links\.parquet has 1 bytes"):
        network_table(root, "net", "links")


def run(*arguments):
    return CliRunner().invoke(cli.app, arguments, catch_exceptions=False)


def test_the_command_filters_sorts_and_writes(root):
    text = run("network", "net", "--where", "forest=genie3", "--sort", "importance", "--rows", "1").stdout
    assert "b          c       0.250" in text
    assert "of 2; --rows shows more" in text
    assert "300 MB" in run("network", "slow", "--table", "timings").stdout
    assert "2e-06" in run("network", "slow", "--table", "timings").stdout
    run("network", "net", "--to", "links.csv")
    assert len(pd.read_csv(root / "links.csv")) == 3


def test_what_a_build_says_in_the_end(root, capsys):
    cli.networks.print_network(root, "net")
    text = capsys.readouterr().out
    assert "nothing is known of this network" in text
    assert "links, of 3 that are kept" in text
    cli.networks.print_timings(root, "slow")
    assert "seconds of the whole" in capsys.readouterr().out
    with pytest.raises(ProjectError, match="`cortax network net` has its links"):
        run("results", "net")
