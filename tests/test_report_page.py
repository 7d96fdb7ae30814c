"""The report: what is on the page, that it stands by itself, and that it is the same bytes twice."""

import base64
import gzip
import json
import math
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_study import MadeStudy, page_sections

from cortax.errors import ProjectError
from cortax.report.blocks import Choice, Figure, PageSection, Sheet, html_table, job_link, sheet_data, small_table
from cortax.report.figures import as_svg, log_axis, marks_of, new_figure
from cortax.report.page import render
from cortax.workloads.regions.report import SECTIONS
from cortax.workloads.regions.report.brains import _parcellations
from cortax.workloads.regions.report.material import Material

ORDER = (
    *("study", "scores", "scaling", "strategies", "comparisons"),
    *("permutations", "brains", "predictions", "searches", "work"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    made = MadeStudy(tmp_path_factory.mktemp("made")).build()
    made.check()
    return made


@pytest.fixture(scope="module")
def jobs(made):
    return {job.name: job for job in made.jobs}


@pytest.fixture(scope="module")
def material(made):
    return Material(made)


@pytest.fixture(scope="module")
def sections(made):
    return page_sections(made)


@pytest.fixture(scope="module")
def page(made, sections):
    return render(made.title, simulated=True, sections=sections, study="made")


class Tags(HTMLParser):
    """Every tag with its attributes; text of scripts is not looked at."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def sheets(sections):
    return [block for section in sections for block in section.blocks if isinstance(block, Sheet)]


def table_of(sheet):
    """What a browser sees: the sheet's JSON, read back."""
    content = json.loads(sheet_data(sheet))
    return {c["name"]: [c["words"][k] for k in c["codes"]] if "words" in c else c["values"] for c in content["columns"]}


def test_every_section_is_there_in_order(sections):
    assert tuple(section.name for section in sections) == ORDER
    assert len(SECTIONS) == len(ORDER) - 1, "what work took is on the page of every workload"


def test_a_study_without_analyses_has_fewer_sections(tmp_path):
    made = MadeStudy(tmp_path, parcellations={"one": 50}, pipelines=("ridge",), analyses=False).build()
    names = [section.name for section in page_sections(made)]
    assert names == ["study", "scores", "brains", "predictions", "searches", "work"]


def test_the_same_jobs_make_the_same_bytes(made, page):
    assert render(made.title, simulated=True, sections=page_sections(made), study="made") == page


def test_simulated_data_are_in_the_title():
    def title(**arguments):
        return re.search("<title>(.*)</title>", render(sections=[], study="s", **arguments)).group(1)

    assert title(title="Thickness", simulated=True) == "SIMULATED DATA: Thickness"
    assert title(title="SIMULATED cohort", simulated=True) == "SIMULATED cohort"
    assert title(title="Thickness", simulated=False) == "Thickness"
    assert title(title="a < b & c", simulated=False) == "a &lt; b &amp; c"


def test_the_page_loads_nothing_from_elsewhere(page):
    for tag, attributes in Tags(page).found:
        for name in ("src", "href", "xlink:href", "data", "action"):
            value = attributes.get(name) or ""
            assert tag == "a" or value.startswith(("data:", "#")) or not value, (tag, name, value[:80])
    style = re.search("<style>(.*?)</style>", page, re.S).group(1)
    assert "url(" not in style
    assert "@import" not in style


def test_ids_occur_once_and_references_lead_somewhere(page):
    ids = [attributes["id"] for _, attributes in Tags(page).found if "id" in attributes]
    assert [name for name, n in Counter(ids).items() if n > 1] == []
    used = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert used <= set(ids)


def test_two_figures_that_look_alike_do_not_share_ids():
    def drawn(alt, width):
        figure = new_figure(2, 2)
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], linewidth=width)
        return as_svg(figure, alt)

    first, second = (set(re.findall(r'\sid="([^"]+)"', drawn("x", width))) for width in (1, 2))
    assert first
    assert not first & second


def test_pictures_can_be_read_without_being_seen(page):
    tags = Tags(page)
    images, drawings = tags.of("img"), [a for a in tags.of("svg") if a.get("role") == "img"]
    assert all(len(attributes["alt"]) > 5 for attributes in images)
    assert all(len(attributes["aria-label"]) > 30 for attributes in drawings)
    assert len(drawings) == len(tags.of("svg")) > 15
    assert all(attributes["title"] for attributes in tags.of("iframe"))
    assert all(attributes["scope"] == "col" for attributes in tags.of("th"))


def test_every_number_leads_to_the_job_that_made_it(jobs, sections, page):
    ids = {job.id for job in jobs.values()}
    linked = set(re.findall(r'class="job" href="/job/([^"]+)"', page))
    for sheet in sheets(sections):
        for column in sheet.jobs.values():
            linked |= set(sheet.frame[column])
    assert linked <= ids
    assert jobs["evaluate/coarse/ridge"].id in linked
    assert {jobs[name].id for name in ("scaling", "compare", "permutation-tests")} <= linked


def test_the_best_of_each_target_is_the_best(material, sections):
    scores = material.main_scores
    best = scores.loc[scores.groupby("target")["value"].idxmax()]
    text = sections[1].blocks[0].markup
    for row in best.itertuples():
        assert f"<td>{row.parcellation}</td><td>{row.pipeline}</td><td>{row.value:.3f}</td>" in text


def test_an_error_is_best_when_it_is_small(material, monkeypatch):
    assert material.is_better_high("fluid")
    monkeypatch.setitem(material.__dict__, "first_metric", {"fluid": "mean_squared_error"})
    assert not material.is_better_high("fluid")


def test_gains_of_strategies(material, sections):
    sheet = next(sheet for sheet in sheets(sections) if sheet.name == "strategy-scores")
    scores = material.main_scores.set_index(["parcellation", "pipeline", "target"])["value"]
    assert len(sheet.frame) == 4
    for row in sheet.frame.to_dict("records"):
        singles = [scores[name, row["pipeline"], row["target"]] for name in ("coarse", "middle", "fine")]
        own = scores["all/voted-2", row["pipeline"], row["target"]]
        assert row["gain over the mean"] == pytest.approx(own - np.mean(singles))
        assert row["gain over the best"] == pytest.approx(own - max(singles))


def test_scaling_says_the_slope_that_the_analysis_found(jobs, sections):
    report = json.loads((jobs["scaling"].folder / "scaling.json").read_text())
    choice = next(block for block in sections[2].blocks if isinstance(block, Choice) and block.name == "ranks")
    captions = dict(choice.figures)
    fit = next(fit for fit in report["fits"] if fit["pipeline"] == "ridge" and fit["group"] == "single")
    words = captions["within ridge"].caption
    assert ("No power law" in words) if fit["law"] is None else (f"Slope {fit['law']['slope']:.3f}" in words)


def test_sizes_of_single_parcellations_and_ensembles(material):
    assert material.sizes == {"coarse": 50, "middle": 100, "fine": 400, "all/voted-2": 550}


def test_the_null_is_drawn_with_what_was_observed(sections):
    figures = dict(sections[5].blocks[1].figures)
    table = next(sheet for sheet in sheets(sections) if sheet.name == "permutation-table").frame
    row = table[(table["target"] == "fluid") & (table["metric"] == "r2")].iloc[0]
    assert f"Observed {row['value']:.3f}; 60 permutations" in figures["fluid"].caption
    assert f"p = {row['p']:.4f}" in figures["fluid"].caption


def test_a_damaged_job_is_not_reported(tmp_path):
    made = MadeStudy(tmp_path, analyses=False).build()
    path = made.one("scores").folder / "scores.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ProjectError, match=r"scores\.parquet has other bytes"):
        made.check()


def test_a_sheet_says_what_the_frame_says():
    frame = pd.DataFrame(
        {"name": ["b", "</script><b>", "b"], "n": [3, 1, 2], "value": [0.5, math.nan, 1e-7], "is": True}
    )
    text = sheet_data(Sheet("t", "c", frame))
    assert "<" not in text
    found = table_of(Sheet("t", "c", frame))
    assert found == {
        "name": ["b", "</script><b>", "b"],
        "n": [3, 1, 2],
        "value": [0.5, None, 1e-7],
        "is": ["True", "True", "True"],
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=8), st.floats(width=64))))
def test_any_text_and_number_goes_through_a_sheet(rows):
    frame = pd.DataFrame(rows, columns=["text", "value"]).astype({"text": object, "value": float})
    found = table_of(Sheet("t", "c", frame))
    assert found["text"] == [text for text, _ in rows]
    for (_, value), shown in zip(rows, found["value"], strict=True):
        if not math.isfinite(value):
            assert shown is None
        elif abs(value) >= 5e-4:
            assert shown == pytest.approx(value, abs=5.1e-6, rel=1e-12)
        else:
            assert shown == pytest.approx(value, rel=0.06, abs=1e-300)


def test_a_large_table_is_compressed_the_same_every_time():
    rng = np.random.default_rng(0)
    sheet = Sheet("t", "c", pd.DataFrame({"a": rng.normal(size=40_000), "b": ["</script>"] * 40_000}))
    packed = sheet_data(sheet)
    content = json.loads(gzip.decompress(base64.b64decode(packed)))
    assert content["columns"][0]["values"] == pytest.approx(sheet.frame["a"].tolist(), abs=5.1e-6)
    assert content["columns"][1]["words"] == ["</script>"]
    assert sheet_data(sheet) == packed


def test_tables_and_links_escape_what_comes_from_a_study():
    text = small_table(pd.DataFrame({"<i>": ["<b>"], "n": [0.25]}), 'a "caption" <u>').markup
    assert "<b>" not in text
    assert "<i>" not in text
    assert "<u>" not in text
    assert 'aria-label="a &quot;caption&quot; &lt;u&gt;"' in text
    assert "<td>0.250</td>" in text
    assert html_table(["n"], [["<a>x</a>"]], "c").markup.count("<a>x</a>") == 1
    assert job_link("main-1", "a<b") == '<a class="job" href="/job/main-1">a&lt;b</a>'


def test_names_are_told_apart_without_colour():
    marks = marks_of([f"n{k}" for k in range(16)])
    assert len(set(marks.values())) == 16
    assert len({marker for _, marker in list(marks.values())[:8]}) == 8


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(min_value=1e-12, max_value=1e12), min_size=1, max_size=5))
def test_log_axes_show_everything_and_have_ticks_that_fit(values):
    axes = new_figure(2, 2).subplots()
    log_axis(axes.xaxis, values)
    low, high = axes.get_xlim()
    assert low < min(values) <= max(values) < high
    ticks = [tick for tick in axes.xaxis.get_major_locator().locs if low <= tick <= high]
    assert len(ticks) <= 10
    assert len(ticks) >= 1 or high < 3 * low


def test_pictures_that_have_no_room_are_linked(jobs, monkeypatch):
    from cortax.brain.pictures.gallery import open_pictures

    jobs = {name: jobs[f"picture/{name}"] for name in ("coarse", "middle", "fine")}
    galleries = {name: open_pictures(job.folder) for name, job in jobs.items()}
    monkeypatch.setattr(
        "cortax.workloads.regions.report.brains.MAX_BYTES", 2 * len(galleries["coarse"].pictures[0].data)
    )
    shown, more = _parcellations(galleries, jobs)
    assert [title for title, _ in shown.figures] == ["coarse", "middle"]
    assert job_link(jobs["fine"].id, "fine") in more.markup


def test_a_figure_of_a_choice_is_shown_in_print_with_its_title():
    figures = (("one <x>", Figure("<svg></svg>", "caption")), ("two", Figure("<svg></svg>", "caption")))
    text = render("t", simulated=False, sections=[PageSection("s", "S", (Choice("c", "label", figures),))], study="s")
    assert "<h3>one &lt;x&gt;</h3>" in text
    assert [text.count(shown) for shown in ('class="option"', 'class="option away"')] == [1, 1]
    assert "<noscript><style>.option.away { display: block; }</style></noscript>" in text
    assert "@media screen { .away { display: none; } }" in text


def test_values_of_any_kind_are_counted():
    from cortax.workloads.regions.report.searches import _spread

    configs = [
        {"layers": [8, 8], "weight": None, "rate": 0.1, "depth": None},
        {"layers": [4], "weight": "balanced", "rate": 0.1, "depth": 3},
    ]
    figure = _spread("net", pd.DataFrame({"configuration": configs}))
    assert "layers: [8, 8] 1 times, [4] 1 times" in figure.markup
    assert "weight: None 1 times, balanced 1 times" in figure.markup
    assert ">rate<" not in figure.markup
    assert ">depth<" not in figure.markup
    assert _spread("net", pd.DataFrame({"configuration": configs[:1]})) is None
