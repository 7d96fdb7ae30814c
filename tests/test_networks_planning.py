"""The jobs of a network study: which there are, what they are called, and that growing it repeats none."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortax.errors import InputError, StudyError
from cortax.provenance.files import file_digest
from cortax.workflow.build.preview import Planned, Preview, summary_lines
from cortax.workflow.plan.costs import Costs
from cortax.workflow.plan.restrict import restrict
from cortax.workflow.workload import Planning
from cortax.workloads.network import workload
from cortax.workloads.network.check import check_network
from cortax.workloads.network.plan import network_jobs
from cortax.workloads.network.study import NetworkStudy

ALL = [f"g{number:02d}" for number in range(12)]


def write(root, genes):
    values = np.arange(len(ALL) * 4).reshape(4, -1) % 7
    lines = [",".join(genes), *(",".join(str(row[ALL.index(gene)]) for gene in genes) for row in values)]
    (root / "expression.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def root(tmp_path):
    write(tmp_path, ALL)
    (tmp_path / "truth.tsv").write_text("g00\tg05\n")
    return tmp_path


def study(**more):
    content = {
        "kind": "network",
        "name": "net",
        "title": "",
        "expression": {"file": "expression.csv"},
        "regulators": {"names": ["g00", "g01"]},
        "forests": {"genie3": {"n_trees": 5}},
        "grid": {"genes_per_job": 5},
    }
    return NetworkStudy.model_validate(content | more)


class Workdir:
    """Jobs that have run, known as Exax knows them; what reads genes finds what it found, whatever else is there."""

    def __init__(self, root):
        self.root, self.done = root, {}

    def build(self, asked):
        """Return the names of the jobs that ran."""
        keys, ran = {}, []
        for spec in network_jobs(asked, Planning(self.root, file_digest, self)):
            inputs = {s: keys[n] if isinstance(n, str) else [keys[one] for one in n] for s, n in spec.jobs.items()}
            key = json.dumps([spec.method, spec.options, inputs], sort_keys=True)
            every = spec.method == "genes" and spec.options["genes"] is None
            cut_off = spec.method == "genes" and not every
            keys[spec.name] = json.dumps([spec.method, spec.options]) if cut_off else key
            if key not in self.done:
                ran.append(spec.name)
                self.done[key] = spec
        return ran

    def reusable(self, method, study, key):
        assert study == "net"
        ours = [spec for spec in self.done.values() if spec.method == method and key.items() <= spec.key.items()]
        return [(dict(spec.key), spec.options) for spec in reversed(ours)]

    def finished(self, spec):
        raise AssertionError("nothing of a network depends on it")


def regressed(specs):
    return {spec.name: spec.options["genes"] for spec in specs if spec.method == "regress"}


def test_every_job_comes_after_what_it_needs(root):
    specs = network_jobs(study(truth={"file": "truth.tsv"}), Planning(root, file_digest))
    seen = set()
    for spec in specs:
        assert spec.needs <= seen
        seen.add(spec.name)
    assert [spec.name for spec in specs] == [
        *("expression", "regulators", "genes/genie3", "genes/genie3/g04-and-3", "genes/genie3/g08-and-3"),
        *("regress/genie3", "regress/genie3/g04-and-3", "regress/genie3/g08-and-3"),
        *("rank/genie3", "graph/genie3", "scores", "curves", "report"),
    ]
    assert [gene for genes in regressed(specs).values() for gene in genes] == ALL
    json.dumps([spec.options for spec in specs])


def test_a_page_is_made_of_all_other_jobs_unless_it_is_not_wanted(root):
    *others, page = network_jobs(study(), Planning(root, file_digest))
    assert page.jobs["made"] == [spec.name for spec in others]
    assert page.links == ("report.html",)
    without = network_jobs(study(report={"enabled": False}), Planning(root, file_digest))
    assert [spec.name for spec in without] == [spec.name for spec in others]


def test_forests_share_the_genes_that_they_read(root):
    specs = network_jobs(study(forests={"a": {}, "b": {"method": "extra_trees"}}), Planning(root, file_digest))
    assert sum(spec.method == "genes" for spec in specs) == 1 + 3
    assert [spec.jobs["targets"] for spec in specs if spec.method == "regress"][:3] == [
        spec.jobs["targets"] for spec in specs if spec.method == "regress"
    ][3:]


def test_new_targets_are_all_that_is_regressed(root):
    workdir = Workdir(root)
    write(root, ALL[:10])
    assert "regress/genie3" in workdir.build(study())
    write(root, ALL)
    ran = workdir.build(study())
    assert [name for name in ran if name.startswith("regress")] == ["regress/genie3/g10-and-1"]
    assert ran[-3:] == ["rank/genie3", "graph/genie3", "report"]
    assert workdir.build(study()) == []


def test_new_genes_that_are_regulators_change_everything_and_it_is_told(root, capsys):
    workdir = Workdir(root)
    write(root, ALL[:10])
    n_first = sum(name.startswith("regress") for name in workdir.build(study(regulators={})))
    assert "every regression" not in capsys.readouterr().out
    write(root, ALL)
    ran = workdir.build(study(regulators={}))
    assert sum(name.startswith("regress") for name in ran) == n_first + 1
    assert "net: all genes are regulators: a new one changes every regression" in capsys.readouterr().out


def test_fewer_targets_repeat_nothing_and_are_left_out(root):
    workdir = Workdir(root)
    workdir.build(study())
    fewer = study(targets={"names": ["g0[0-8]"]})
    assert workdir.build(fewer) == ["rank/genie3", "graph/genie3", "report"]
    rank = next(spec for spec in network_jobs(fewer, Planning(root, file_digest, workdir)) if spec.method == "rank")
    assert [block["left_out"] for block in rank.options["blocks"]] == [[], [], ["g09", "g10", "g11"]]


def test_a_block_that_lost_a_gene_of_the_matrix_is_cut_anew(root):
    workdir = Workdir(root)
    workdir.build(study())
    write(root, ALL[1:])
    without = study(regulators={"names": ["g01"]}, targets={"names": [gene for gene in ALL if gene != "g00"]})
    assert regressed(network_jobs(without, Planning(root, file_digest, workdir))) == {
        "regress/genie3": ALL[1:4],
        "regress/genie3/g04-and-3": ALL[4:8],
        "regress/genie3/g08-and-3": ALL[8:],
    }


@settings(max_examples=30)
@given(
    steps=st.lists(
        st.tuples(st.sets(st.sampled_from(ALL), min_size=1), st.integers(1, 12), st.sampled_from([5, 6])), min_size=1
    )
)
def test_every_target_is_taken_once_whatever_was_done_before(tmp_path_factory, steps):
    root = tmp_path_factory.mktemp("p")
    write(root, ALL)
    workdir = Workdir(root)
    for targets, size, n_trees in steps:
        asked = study(
            targets={"names": sorted(targets)},
            grid={"genes_per_job": size},
            forests={"genie3": {"n_trees": n_trees}},
        )
        specs = network_jobs(asked, Planning(root, file_digest, workdir))
        rank = next(spec for spec in specs if spec.method == "rank")
        taken = [
            gene
            for genes, block in zip(regressed(specs).values(), rank.options["blocks"], strict=True)
            for gene in genes
            if gene not in block["left_out"]
        ]
        assert sorted(taken) == sorted(targets)
        assert len({spec.name for spec in specs}) == len(specs)
        workdir.build(asked)


def test_a_failed_block_costs_the_ranking_its_genes_and_nothing_else(root):
    specs = {spec.name: spec for spec in network_jobs(study(truth={"file": "truth.tsv"}), Planning(root, file_digest))}
    rank = specs["rank/genie3"].without({"regress/genie3/g04-and-3"})
    assert rank.jobs["regress"] == ["regress/genie3", "regress/genie3/g08-and-3"]
    assert len(rank.options["blocks"]) == 2
    assert rank.jobs["regress"] == ["regress/genie3", "regress/genie3/g08-and-3"]
    scores = specs["scores"].without({"regress/genie3/g04-and-3"})
    assert scores.options["n_blocks"] == {"genie3": 3}, "so that a part does not pass for all"


def test_a_plan_is_counted_by_genes_and_narrowed_by_them(root):
    specs = network_jobs(study(), Planning(root, file_digest))
    costs = Costs(2)
    planned = tuple(Planned(spec, (), False, costs.seconds(spec), costs.memory(spec)) for spec in specs)
    assert next(summary_lines(Preview(planned, 2, 8e9, workload.units))) == "11 jobs, 12 units (forest x target gene)"

    def narrowed(patterns):
        return restrict(specs, patterns, axes=workload.axes, narrowed=workload.narrowed)

    assert [spec.name for spec in narrowed({"target": ["g05"]})] == [
        *("expression", "regulators", "genes/genie3/g04-and-3", "regress/genie3/g04-and-3")
    ]
    with pytest.raises(StudyError, match=re.escape("--restrict parcellation=x: got 'parcellation', must be one of")):
        narrowed({"parcellation": ["x"]})


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        (
            {"regulators": {"names": ["x"]}},
            StudyError,
            r"study 'net': regulators\.names: no gene is called so: got 'x'",
        ),
        (
            {"regulators": {"names": ["g00"]}, "targets": {"names": ["g00"]}},
            StudyError,
            r"regulators: \['g00'\] cannot regulate \['g00'\]",
        ),
        ({"expression": {"file": "gone.csv"}}, InputError, "gone.csv"),
        ({"truth": {"file": "other.tsv"}}, InputError, r"other\.tsv: names none of the study's regulators"),
    ],
)
def test_what_cannot_work_is_said_before_anything_runs(root, more, error, said):
    (root / "other.tsv").write_text("ENSG1\tENSG2\n")
    with pytest.raises(error, match=said):
        check_network(study(**more), root)
