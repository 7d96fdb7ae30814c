"""What people see of networks: which table, of which forests, in which words."""

import functools
import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from cortax import cli
from cortax.errors import ProjectError
from cortax.provenance import outputs
from cortax.workflow.lookup.results import read_table
from cortax.workloads.bench.commands import print_timings
from cortax.workloads.network.tables import print_network

LINKS = {
    "genie3": pd.DataFrame({"regulator": ["a", "b"], "target": ["b", "c"], "importance": [0.5, 0.25]}),
    "other": pd.DataFrame({"regulator": ["c"], "target": ["a"], "importance": [0.75]}),
}
TIMINGS = pd.DataFrame({"solver": ["cortax"], "elapsed": [2.0], "memory": [3e8], "cost_some": [2e-6]})

STUDIES = {"net": "network", "slow": "bench", "brain": "regions"}


@pytest.fixture
def root(tmp_path, monkeypatch):
    (tmp_path / "accelerator.conf").write_text("")
    monkeypatch.delenv("AX_WORKDIR", raising=False)
    monkeypatch.chdir(tmp_path)
    logs = {kind: {"kind": kind, "jobs": {}, "what": {}, "ran": {}} for kind in STUDIES.values()}

    def add(study, name, method, file, write, key=()):
        folder = tmp_path / "workdirs/main" / f"main-{sum(len(log['jobs']) for log in logs.values())}"
        folder.mkdir(parents=True)
        write(folder / file)
        outputs.record(folder, [file], method=method, name=f"{study}/{name}")
        log = logs[STUDIES[study]]
        log["jobs"][name] = folder.name
        log["what"][name] = {"method": method, "key": dict(key)}

    for forest, links in LINKS.items():
        add("net", f"rank/{forest}", "rank", "links.parquet", links.to_parquet, {"forest": forest})
        genes = pd.DataFrame({"gene": ["a", "NA"], "n_targets": [2, 0], "hub": [True, False]})
        write = functools.partial(genes.to_csv, sep="\t", index=False)
        add("net", f"graph/{forest}", "graph", "genes.tsv", write, {"forest": forest})
    add("slow", "timings", "timings", "timings.parquet", TIMINGS.to_parquet)
    add("brain", "tune/a/ridge", "tune", "x", lambda path: path.write_text(""))
    for study, kind in STUDIES.items():
        (tmp_path / "results" / study).mkdir(parents=True)
        (tmp_path / "results" / study / "build.json").write_text(json.dumps(logs[kind]))
    return tmp_path


def test_tables_are_of_all_forests(root):
    links = read_table(root, "net", "links")
    assert list(links.columns) == ["forest", "rank", "regulator", "target", "importance"]
    assert links.to_dict("list")["forest"] == ["genie3", "genie3", "other"]
    assert links.to_dict("list")["rank"] == [1, 2, 1]
    genes = read_table(root, "net", "genes")
    assert set(genes["gene"]) == {"a", "NA"}, "a gene may be called so"
    pd.testing.assert_frame_equal(read_table(root, "slow", "timings"), TIMINGS)


def test_what_is_not_there_is_said(root):
    for study, table, said in (
        ("net", "scores", r"has no scores: put \[truth\] into its file"),
        ("slow", "links", r"a study of kind 'bench' has tables: got 'links', must be one of \['timings'\]"),
        ("net", "likns", r"table: .*got 'likns'.*did you mean 'links'"),
        ("brain", "links", "a study of kind 'regions' has tables: got 'links', must be one of .*'scores'"),
        ("gone", "links", "no results of study 'gone'"),
    ):
        with pytest.raises(ProjectError, match=said):
            read_table(root, study, table)


def test_a_table_that_was_altered_is_not_shown(root):
    (root / "workdirs/main/main-0/links.parquet").write_bytes(b"x")
    with pytest.raises(ProjectError, match=r"links\.parquet has 1 bytes"):
        read_table(root, "net", "links")


def run(*arguments):
    return CliRunner().invoke(cli.app, ["results", *arguments], catch_exceptions=False)


def test_the_command_filters_sorts_and_writes(root):
    text = run("net", "--where", "forest=genie3", "--sort", "importance", "--rows", "1").stdout
    assert "b          c       0.250" in text
    assert "of 2; --to writes all" in text
    assert "2e-06" in run("slow").stdout, "a price that three digits would show as 0"
    run("net", "--to", "links.csv")
    assert len(pd.read_csv(root / "links.csv")) == 3


def test_what_a_build_says_in_the_end(root, capsys):
    print_network(root, "net")
    text = capsys.readouterr().out
    assert "nothing is known of this network" in text
    assert "links, of 3 that are kept" in text
    print_timings(root, "slow")
    text = capsys.readouterr().out
    assert "seconds of the whole" in text
    assert "300 MB" in text
    assert "2e-06" in text
