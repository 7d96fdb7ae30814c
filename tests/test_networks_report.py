"""The page of a network: what is on it, that it stands by itself, and that it is the same bytes twice."""

import json
import re
from html import escape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from cortax.provenance import outputs
from cortax.report.blocks import Choice, Sheet
from cortax.report.figures import style
from cortax.report.page import MadeJob, StudyJobs, render
from cortax.workloads.network.agreement import Regressed, score_forests, trace_forests
from cortax.workloads.network.graphs import network_graph, node_table, write_graph
from cortax.workloads.network.links import TopLinks
from cortax.workloads.network.report import sections
from cortax.workloads.network.report.graph import _places
from cortax.workloads.network.store import GeneValues, open_importances, save_genes, save_importances
from cortax.workloads.network.truth import GoldStandard

ODD = 'N<b>&"$x_'
GENES = (*(f"g{number}" for number in range(8)), ODD, "NA")
HUB = "g0"
KNOWN = frozenset({(HUB, gene) for gene in GENES[3:]})
SECTIONS = ["study", "links", "network", "hubs", "agreement", "work"]


class MadeNetwork:
    """The jobs of a network in which one gene regulates most others, written by the library's own functions."""

    def __init__(self, folder, forests=("genie3", "boosted"), *, blocks=2, known=True):
        self.folder, self.jobs = folder, []
        self.rng = np.random.default_rng(3)
        values = self.rng.normal(size=(len(GENES), 12))
        values[1] = 4.0
        self.genes = GeneValues(GENES, values)
        self.add("expression", "expression", {}, lambda path: save_genes(path, self.genes))
        self.add("regulators", "genes", {}, lambda path: save_genes(path, self.genes))
        self.blocks = {"": GENES[:5], "more": GENES[5:]}
        found = {name: made for forest in forests for name, made in self.forest(forest, blocks).items()}
        if known:
            gold = GoldStandard(KNOWN, frozenset(GENES), frozenset(GENES))
            parts = [(name.partition("/")[0], open_importances(job.folder, GENES), ()) for name, job in found.items()]
            self.compare(Regressed(parts, GENES, dict.fromkeys((*forests, "failed"), 2)), gold)

    @property
    def made(self):
        return StudyJobs("net", f"Net {ODD}", True, self.jobs)

    def add(self, name, method, key, save, *, options=(), jobs=()):
        job = MadeJob(name, f"main-{len(self.jobs)}", self.folder / f"main-{len(self.jobs)}", key)
        job.folder.mkdir(parents=True)
        setup = {"method": method, "options": dict(options), "jobs": dict(jobs), "starttime": 1.7e9}
        setup["versions"] = {"python": "3.11.7 (main)", "accelerator": "2025.11.11"}
        (job.folder / "setup.json").write_text(json.dumps(setup))
        (job.folder / "post.json").write_text(json.dumps({"exectime": {"total": 1.5}}))
        outputs.record(job.folder, save(job.folder), method=method, name=name)
        self.jobs.append(job)
        return job

    def forest(self, forest, n_blocks):
        made, top = {}, TopLinks(50, GENES)
        for block, names in list(self.blocks.items())[:n_blocks]:
            made[f"{forest}/{block}".rstrip("/")] = self.regress(forest, block, names, top)
        options = {"blocks": [{"forest": forest, "left_out": []} for _ in made]}
        links = top.links()
        jobs = {"regress": [job.id for job in made.values()]}

        def rank(folder):
            links.to_parquet(folder / "links.parquet", index=False)
            return ["links.parquet"]

        def graph(folder):
            drawn = network_graph(links, n_links=15)
            node_table(drawn).to_csv(folder / "genes.tsv", sep="\t", index=False)
            return ["genes.tsv", *(path.name for path in write_graph(drawn, folder))]

        self.add(f"rank/{forest}", "rank", {"forest": forest}, rank, options=options, jobs=jobs)
        self.add(f"graph/{forest}", "graph", {"forest": forest}, graph)
        return made

    def regress(self, forest, block, names, top):
        targets = GeneValues(names, self.genes.values[[GENES.index(name) for name in names]])
        importances = self.rng.random((len(names), len(GENES)))
        importances[:, 0] += 1
        for name, row in zip(names, importances, strict=True):
            top.add(name, row)
        options = {"method": "forest", "n_trees": 7, "max_features": "sqrt", "min_samples_leaf": 1}
        return self.add(
            f"regress/{forest}/{block}".rstrip("/"),
            "regress",
            {"forest": forest},
            lambda path: save_importances(path, targets, list(importances), len(GENES)),
            options={**options, "genes": list(names)},
        )

    def compare(self, regressed, gold):
        tables = {"scores": score_forests(regressed, gold), "curves": trace_forests(regressed, gold)}
        tables["known"] = pd.DataFrame(sorted(gold.links), columns=["regulator", "target"])

        def save(*names):
            def write(folder):
                for name in names:
                    tables[name].to_parquet(folder / f"{name}.parquet")
                return [f"{name}.parquet" for name in names]

            return write

        options = {"n_blocks": dict(regressed.n_blocks)}
        self.add("scores", "network_scores", {}, save("scores"), options=options)
        self.add("curves", "network_curves", {}, save("curves", "known"), options=options)


def sections_of(network):
    with style():
        return [section for section in sections(network.made) if section is not None]


def page_of(network, found):
    return render(network.made.title, simulated=True, sections=found, study="net")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    made = MadeNetwork(tmp_path_factory.mktemp("net"))
    made.made.check()
    return made


@pytest.fixture(scope="module")
def found(network):
    return sections_of(network)


@pytest.fixture(scope="module")
def page(network, found):
    return page_of(network, found)


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found, self.open = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def blocks_of(found, kind):
    return {block.name: block for section in found for block in section.blocks if isinstance(block, kind)}


def test_every_section_is_there_and_says_what_was_run(found, page):
    assert [section.name for section in found] == SECTIONS
    assert f"SIMULATED DATA: Net {escape(ODD, quote=False)}" in page.replace("&#34;", '"')
    assert "12 samples of 10 genes. 10 of them may regulate others, and 10 are targets" in page
    assert "1 genes have the same value in all samples, so that nothing can be said of them: g1." in page
    assert "INCOMPLETE: failed has no links." in page


def test_the_page_loads_nothing_from_elsewhere_and_no_name_is_markup(page):
    for tag, attributes in Tags(page).found:
        for name in ("src", "href", "xlink:href", "data", "action"):
            value = attributes.get(name) or ""
            assert tag == "a" or value.startswith(("data:", "#")) or not value, (tag, name, value[:80])
    assert "N<b>" not in page
    assert escape(ODD, quote=False) in page, "as text of a drawing"


def test_the_same_jobs_make_the_same_bytes(network, page):
    assert page_of(network, sections_of(network)) == page


def test_the_table_of_links_is_that_of_the_jobs(network, found):
    table = blocks_of(found, Sheet)["strongest-links"].frame
    for forest, part in table.groupby("forest"):
        (job,) = (job for job in network.jobs if job.name == f"rank/{forest}")
        links = pd.read_parquet(job.folder / "links.parquet")
        pd.testing.assert_frame_equal(part[list(links.columns)].reset_index(drop=True), links)
        assert set(part["job"]) == {job.id}
    known = {(r["regulator"], r["target"]) for r in table.to_dict("records") if r["in the gold standard"] == "yes"}
    assert known == KNOWN


def test_forests_that_are_alike_agree_and_the_share_is_that_of_sets(network, found, monkeypatch):
    monkeypatch.setattr("cortax.workloads.network.report.links.N_COMPARED", 10)
    markup = sections_of(network)[1].blocks[1].markup
    tables = [pd.read_parquet(j.folder / "links.parquet") for j in network.jobs if j.method == "rank"]
    first, second = ({tuple(row) for row in t[["regulator", "target"]].head(10).to_numpy()} for t in tables)
    assert 0 < len(first & second) < 10
    assert f"<td>{len(first & second) / len(first | second):.3f}</td>" in markup


def test_the_drawing_tells_known_links_from_others_and_names_the_hub(found):
    figures = dict(blocks_of(found, Choice)["graphs"].figures)
    assert list(figures) == ["genie3", "boosted"]
    for figure in figures.values():
        (label,) = re.findall(r'aria-label="([^"]+)"', figure.markup)
        n_known, n_drawn = int(re.search(r"(\d+) of the links are in", label)[1]), 15
        assert f"Hubs: {HUB} with " in label
        assert f"{n_known} of them in the gold standard" in figure.caption
        dashed = re.findall(
            r"stroke: #5f6b76[^\"]*stroke-dasharray|stroke-dasharray[^\"]*stroke: #5f6b76", figure.markup
        )
        # The line and the head of each arrow, and the legend.
        assert len(dashed) == 2 * (n_drawn - n_known) + 1


def test_the_same_links_are_at_the_same_places_and_no_two_genes_at_one():
    edges = pd.DataFrame([("a", "b"), ("b", "c"), ("d", "e"), ("f", "g"), ("h", "a")], columns=["regulator", "target"])
    places = _places(edges)
    assert set(places) == set("abcdefgh")
    for gene, place in _places(edges).items():
        np.testing.assert_array_equal(place, places[gene])
    points = np.array(list(places.values()))
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)[np.triu_indices(8, 1)]
    assert apart.min() > 0.3


def test_hubs_come_with_all_regulators_of_the_graph(found):
    table = blocks_of(found, Sheet)["regulators"].frame
    assert set(table.loc[table["hub"] == "yes", "regulator"]) == {HUB}
    assert table.groupby("forest")["targets"].sum().to_dict() == {"genie3": 15, "boosted": 15}


def test_areas_are_told_with_those_of_chance(network, found):
    (section,) = (section for section in found if section.name == "agreement")
    _, table, figure = section.blocks
    (job,) = network.made.of("network_scores")
    for row in pd.read_parquet(job.folder / "scores.parquet").to_dict("records"):
        assert f"<td>{row['auroc']:.3f}</td><td>0.500</td><td>{row['aupr']:.3f}</td>" in table.markup
        assert f"{row['forest']} AUROC {row['auroc']:.3f}" in figure.markup
    assert ">chance<" in figure.markup


def test_without_what_is_known_nothing_is_said_of_agreement(tmp_path):
    network = MadeNetwork(tmp_path, ("genie3",), known=False)
    found = sections_of(network)
    assert [section.name for section in found] == [name for name in SECTIONS if name != "agreement"]
    assert "gold standard" not in page_of(network, found)


def test_a_forest_that_lacks_regressions_is_on_the_page_and_said_to(tmp_path):
    network = MadeNetwork(tmp_path, ("genie3",), known=False)
    network.forest("boosted", 1)
    page = page_of(network, sections_of(network))
    assert "INCOMPLETE: boosted has links to 5 of 10 targets. The other regressions failed." in page


def test_a_ranking_of_other_blocks_stands_for_this_one(network):
    """An earlier build that cut the genes into other blocks found the same links: its `regress` jobs are not here."""
    others = [job for job in network.jobs if job.method != "regress"]
    regress = next(job for job in network.jobs if job.method == "regress")
    page = page_of(network, list(sections(StudyJobs("net", "Net", True, [*others, regress]))))
    assert "10 of them may regulate others, and 10 are targets" in page


def test_a_page_without_any_forest_still_comes(tmp_path):
    network = MadeNetwork(tmp_path, (), known=False)
    assert [section.name for section in sections_of(network)] == ["study", "work"]
