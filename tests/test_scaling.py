"""Scaling: known power laws come back, ranks are ranks, and what cannot be fitted is said."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit
from scipy.stats import ks_2samp, linregress
from typer.testing import CliRunner

from cortax import cli
from cortax.brain.data.spaces import SPACES
from cortax.brain.parcellation.atlas import Atlas, hard_weights, save_atlas
from cortax.cli.app import add_workload_commands
from cortax.errors import CortaxError, InputError, ProjectError
from cortax.learning.regions import save_regions
from cortax.learning.scaling import analyse, fit_power_law, read_rank_table, select_region
from cortax.learning.scaling.ranks import mean_ranks, rank_targets, resample_targets, score_matrix
from cortax.provenance import outputs
from cortax.provenance.files import file_digest
from cortax.workflow.workload import Planning
from cortax.workloads.regions.plan.plan import regions_jobs
from cortax.workloads.regions.sizes import describe
from cortax.workloads.regions.study.study import RegionsStudy

SEEDS = st.integers(0, 2**32 - 1)


def noisy(seed, n=40, *, ties=False):
    """Sizes and mean ranks of a power law with noise and bent ends, in no order."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(7, 40, n) * 10.0 if ties else np.round(np.geomspace(8, 6000, n) * rng.uniform(1, 1.1, n), 3)
    sizes = rng.permutation(sizes)
    ranks = 300 * np.clip(sizes, 30, 2000) ** -0.3 * rng.lognormal(0, 0.1, n)
    return sizes, ranks, list(rng.choice(["existing", "random", "ward"], n))


def plain_region(sizes, ranks):
    """The selection as Hahn et al. have it, by scipy's line and its two-sample test."""
    order = np.argsort(sizes, kind="stable")
    x, y = sizes[order], ranks[order]

    def distance(small, large):
        inside = slice(small, len(x) - large)
        line = linregress(np.log10(x[inside]), np.log10(y[inside]))
        return ks_2samp(y[inside], 10**line.intercept * x[inside] ** line.slope, method="asymp").statistic

    small = int(np.argmin(np.round([distance(k, 0) for k in range(len(x) // 4)], 12)))
    large = int(np.argmin(np.round([distance(small, k) for k in range(len(x) // 4)], 12)))
    return order[small : len(x) - large]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [4, 7, 8, 23, 60])
def test_the_region_is_that_of_the_plain_algorithm(n, ties):
    for seed in range(8):
        sizes, ranks, _ = noisy(seed, n, ties=ties)
        np.testing.assert_array_equal(select_region(sizes, ranks), plain_region(sizes, ranks))


@pytest.mark.parametrize("slope", [-0.5, -0.28, 0.1])
def test_a_power_law_without_noise_is_recovered_whole(slope):
    sizes = np.round(np.geomspace(8, 6000, 60))
    law = fit_power_law(sizes, 400 * sizes**slope)
    assert (law.dropped, law.n, law.region) == ((0, 0), 60, (8, 6000))
    assert law.estimate == pytest.approx({"slope": slope, "intercept": np.log10(400)}, abs=1e-6)
    assert law.r2 == pytest.approx(1)
    assert max(law.error.values()) < 1e-6


@pytest.mark.parametrize(("small", "large"), [(9, 0), (4, 0), (0, 4), (0, 14), (2, 8), (5, 14)])
def test_plateaus_are_cut_off(small, large):
    sizes = np.round(np.geomspace(8, 6000, 60))
    ranks = 400 * np.clip(sizes, sizes[small], sizes[59 - large]) ** -0.28
    law = fit_power_law(sizes, ranks)
    assert law.dropped[0] >= small
    assert law.dropped[1] == large
    assert law.estimate["slope"] == pytest.approx(-0.28, abs=1e-6)


def test_effects_of_types_are_recovered():
    sizes = np.geomspace(10, 4000, 60)
    types = np.resize(["random", "existing", "ward"], 60)
    effect = {"existing": 0.0, "random": 0.05, "ward": -0.02}
    ranks = 10 ** (2.6 - 0.28 * np.log10(sizes) + np.array([effect[name] for name in types]))
    law = fit_power_law(sizes, ranks, list(types))
    expected = {"slope": -0.28, "intercept": 2.6, "type[random]": 0.05, "type[ward]": -0.02}
    assert law.estimate == pytest.approx(expected, abs=1e-9)
    assert law.reference == "existing"


@pytest.mark.parametrize("seed", range(5))
def test_estimates_and_standard_errors_are_those_of_least_squares(seed):
    sizes, ranks, types = noisy(seed)
    kept, law = select_region(sizes, ranks), fit_power_law(sizes, ranks, types)
    levels = [name.removeprefix("type[").removesuffix("]") for name in law.estimate][2:]
    labels = np.array(types)[kept]

    def model(x, slope, intercept, *effects):
        return slope * x + intercept + sum(e * (labels == level) for e, level in zip(effects, levels, strict=True))

    found, covariance = curve_fit(model, np.log10(sizes[kept]), np.log10(ranks[kept]), np.zeros(2 + len(levels)))
    np.testing.assert_allclose(list(law.estimate.values()), found, atol=1e-6)
    np.testing.assert_allclose(list(law.error.values()), np.sqrt(np.diag(covariance)), rtol=1e-5)
    line = linregress(np.log10(sizes[kept]), np.log10(ranks[kept]))
    alone = fit_power_law(sizes, ranks)
    assert alone.r2 == pytest.approx(line.rvalue**2)
    assert alone.error == pytest.approx({"slope": line.stderr, "intercept": line.intercept_stderr})


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(0.01, 100))
def test_sizes_in_another_unit_move_the_intercept_only(seed, factor):
    sizes, ranks, types = noisy(seed)
    law, other = fit_power_law(sizes, ranks, types), fit_power_law(sizes * factor, ranks, types)
    assert other.dropped == law.dropped
    moved = law.estimate["intercept"] - law.estimate["slope"] * np.log10(factor)
    assert other.estimate == pytest.approx({**law.estimate, "intercept": moved}, abs=1e-9)
    assert other.r2 == pytest.approx(law.r2)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_the_order_of_rows_does_not_matter_without_ties(seed):
    sizes, ranks, types = noisy(seed)
    order = np.random.default_rng(seed).permutation(len(sizes))
    law = fit_power_law(sizes, ranks, types)
    other = fit_power_law(sizes[order], ranks[order], [types[k] for k in order])
    assert other.region == law.region
    assert other.estimate == pytest.approx(law.estimate, abs=1e-9)


def test_parcellations_of_one_size_keep_their_order():
    rng = np.random.default_rng(1)
    sizes = np.repeat([7.0, 10, 30, 100, 300, 1000, 3000, 5000], 5)
    ranks = 300 * np.clip(sizes, 10, 3000) ** -0.3 * rng.lognormal(0, 0.05, 40)
    kept = select_region(sizes, ranks)
    assert all(np.diff(kept) == 1), "sorted already, and equal ones are not turned round"
    within = np.concatenate([rng.permutation(5) + 5 * k for k in range(8)])
    np.testing.assert_array_equal(select_region(sizes[within], ranks[within]), kept)


def test_the_reference_is_existing_or_the_first():
    sizes, ranks, _ = noisy(0, 12)
    for names, first in ((["Random", "Existing", "Ward"], "Existing"), (["ward", "random", "ico"], "ico")):
        assert fit_power_law(sizes, ranks, names * 4).reference == first
    assert fit_power_law(sizes, ranks, ["a", "existing", "b"] * 4, reference="b").reference == "b"


def test_a_type_that_is_outside_the_region_is_named():
    sizes = np.round(np.geomspace(8, 6000, 60))
    ranks = 400 * np.clip(sizes, sizes[9], None) ** -0.28
    law = fit_power_law(sizes, ranks, ["tiny"] * 2 + ["existing"] * 58)
    assert law.warnings == ("type 'tiny' has no parcellation in the region: no effect is estimated",)
    assert list(law.estimate) == ["slope", "intercept"]


def test_ranks_that_are_all_equal_have_no_r2():
    law = fit_power_law([10, 20, 30, 40], [2.5] * 4)
    assert law.estimate["slope"] == pytest.approx(0, abs=1e-12)
    assert np.isnan(law.r2)
    assert "all ranks in the region are equal" in law.warnings[0]


def test_without_degrees_of_freedom_there_are_no_standard_errors():
    law = fit_power_law([10, 20, 30, 40], [4, 3, 2, 1.5], ["a", "a", "b", "c"])
    assert np.isnan(list(law.error.values())).all()
    assert law.warnings == ("4 estimates from 4 parcellations: no standard errors",)


@pytest.mark.parametrize(
    ("sizes", "ranks", "types", "said"),
    [
        ([1, 2, 3], [3, 2, 1], None, "at least 4 parcellations, found 3"),
        ([9] * 5, [1, 2, 3, 4, 5], None, "needs different sizes, all 5 parcellations have 9 regions"),
        ([1, 2, 3, 0], [1, 2, 3, 4], None, r"sizes must be positive numbers, found \[0.0\]"),
        ([1, 2, 3, 4], [1, np.nan, 3, -4], None, r"mean ranks must be positive numbers, found \[nan, -4.0\]"),
        ([1, 2, 3, 4], [1, 2, 3, 4], ["a", "b", "c", "d"], "needs different sizes within a type"),
        ([1, 1, 2, 2], [1, 2, 3, 4], ["a", "a", "b", "b"], "needs different sizes within a type"),
        ([1, 2, 3, 4], [1, 2, 3], None, "4 sizes, 3 ranks"),
    ],
)
def test_what_cannot_be_fitted_is_an_error(sizes, ranks, types, said):
    with pytest.raises(InputError, match=said):
        fit_power_law(sizes, ranks, types)


# Ranks


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.sampled_from([np.exp, np.arctan, lambda v: 3 * v - 7, lambda v: v**3]))
def test_monotone_transforms_of_scores_change_no_rank(seed, transform):
    values = np.random.default_rng(seed).integers(-9, 9, (5, 12)) / 4
    ranks = rank_targets(values)
    np.testing.assert_array_equal(rank_targets(transform(values)), ranks)
    np.testing.assert_allclose(ranks.sum(axis=1), 12 * 13 / 2)
    assert (ranks[values == values.max(axis=1, keepdims=True)] < 12).any()


def test_the_best_is_first_and_equal_ones_share():
    np.testing.assert_array_equal(rank_targets([[0.1, 0.3, 0.3, -1.0]]), [[3, 1.5, 1.5, 4]])
    assert np.isnan(rank_targets([[0.1, np.nan, 0.3]])).all()


def test_mean_ranks_of_resamples():
    ranks = np.array([[1.0, 2], [2, 1], [np.nan, np.nan]])
    found = mean_ranks(ranks, [[1, 1, 1], [3, 1, 0], [0, 0, 3]])
    np.testing.assert_array_equal(found, [[1.5, 1.5], [1.25, 1.75], [np.nan, np.nan]])


SIZES = {"p10": 10, "p30": 30, "p100": 100, "p300": 300, "p1000": 1000, "r10": 10, "r100": 100, "r1000": 1000}


def table(pipelines=("ridge", "svm"), n_targets=6, *, names=tuple(SIZES), seed=0, of=None):
    """Scores that grow with the logarithm of the size, fold by fold, of an error and of an AUC."""
    rng = np.random.default_rng(seed)
    rows = []
    for pipeline in pipelines:
        for name in (of or {}).get(pipeline, names):
            for t in range(n_targets):
                value = np.log10(SIZES.get(name, 5000)) / 10 - 0.03 * name.startswith("r") + rng.normal(0, 0.02)
                metric, sign = ("mean_squared_error", -1) if t % 2 else ("roc_auc", 1)
                about = {"parcellation": name, "pipeline": pipeline, "target": f"t{t}"}
                for fold, change in (("0", 0.5), ("mean", 0.0)):
                    rows.append({**about, "metric": metric, "fold": fold, "value": sign * (value + change)})
                    rows.append({**about, "metric": "accuracy", "fold": fold, "value": rng.normal()})
    return pd.DataFrame(rows)


def metrics(n_targets=6):
    return {f"t{t}": "mean_squared_error" if t % 2 else "roc_auc" for t in range(n_targets)}


def about(**ensembles):
    rows = {name: (size, "random" if name[0] == "r" else "existing", False) for name, size in SIZES.items()}
    rows |= {name: (size, "voted", True) for name, size in ensembles.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["size", "type", "ensemble"])


def fit_of(report, *, type="*", pipeline="*", **more):  # noqa: A002
    asked = {"type": type, "pipeline": pipeline, "group": "single", **more}
    (found,) = [fit for fit in report["fits"] if all(fit[key] == value for key, value in asked.items())]
    return found


def test_scores_are_means_over_folds_by_the_metric_of_the_target():
    scores = table()
    found = score_matrix(scores, metrics())
    assert list(found.index) == [f"t{t}" for t in range(6)]
    one = scores[(scores["target"] == "t1") & (scores["fold"] == "mean") & (scores["metric"] == "mean_squared_error")]
    np.testing.assert_array_equal(found.loc["t1"], -one["value"])


def test_mean_ranks_are_those_of_a_plain_loop():
    ranks, _ = analyse(table(), about(), metrics=metrics(), n_bootstrap=0)
    values = score_matrix(table(), metrics())
    within = {name: values[name].rank(axis=1, ascending=False).mean() for name in ("ridge", "svm")}
    expected = {"within ridge": within["ridge"], "within svm": within["svm"]}
    expected["across *"] = (within["ridge"] + within["svm"]) / 2
    for key, means in expected.items():
        rows = ranks[ranks["ranks"] + " " + ranks["pipeline"] == key].set_index("parcellation")
        pd.testing.assert_series_equal(rows["mean_rank"], means, check_names=False)
    inter = ranks[ranks["ranks"] == "inter"].set_index(["pipeline", "parcellation"])["mean_rank"]
    pd.testing.assert_series_equal(inter, values.rank(axis=1, ascending=False).mean(), check_names=False)
    assert ranks["low"].isna().all()
    assert set(ranks["n_targets"]) == {6}


def test_each_ranking_is_fitted_as_a_whole_and_by_type():
    ranks, report = analyse(table(), about(), metrics=metrics(), n_bootstrap=0)
    across = ranks[ranks["ranks"] == "across"]
    law = fit_power_law(across["size"], across["mean_rank"], list(across["type"]))
    assert fit_of(report, ranks="across")["law"] == law.to_dict()
    assert law.estimate["slope"] < 0 < law.estimate["type[random]"]
    only = across[across["type"] == "existing"]
    alone = fit_power_law(only["size"], only["mean_rank"])
    assert fit_of(report, ranks="across", type="existing")["law"]["slope"] == pytest.approx(alone.estimate["slope"])
    assert "pipeline[svm]" in fit_of(report, ranks="inter")["law"]
    assert [fit["type"] for fit in report["fits"]] == ["*", "existing"] * 3 + ["*"]
    assert report["warnings"] == []
    json.dumps(report, allow_nan=False)


def test_intervals_are_percentiles_over_resampled_targets():
    ranks, report = analyse(table(), about(), metrics=metrics(), n_bootstrap=60, confidence=0.9, seed=3)
    values = score_matrix(table(), metrics())["ridge"].rank(axis=1, ascending=False)
    drawn = resample_targets(len(values), 60, seed=3)
    means = np.array([np.average(values, axis=0, weights=weights) for weights in drawn])
    rows = ranks[(ranks["ranks"] == "within") & (ranks["pipeline"] == "ridge")]
    np.testing.assert_allclose(rows[["low", "high"]].T, np.quantile(means, [0.05, 0.95], axis=0))
    slopes = [fit_power_law(rows["size"], one, list(rows["type"])).estimate["slope"] for one in means]
    found = fit_of(report, ranks="within", pipeline="ridge")["interval"]["slope"]
    np.testing.assert_allclose(found, np.quantile(slopes, [0.05, 0.95]))
    assert fit_of(report, ranks="within", pipeline="ridge")["n_resamples"] == 60
    assert "resamples of 6 targets: of so few" in report["warnings"][0]


def test_seeds_come_from_content():
    first = analyse(table(), about(), metrics=metrics(), n_bootstrap=30)
    turned = dict(reversed(metrics().items()))
    again = analyse(table().sort_values("target", kind="stable"), about(), metrics=turned, n_bootstrap=30)
    pd.testing.assert_frame_equal(again[0], first[0])
    assert again[1] == first[1]


def test_ensembles_are_ranked_among_single_parcellations_too():
    scores = table(names=(*SIZES, "voted-3", "voted-5"), pipelines=("ridge",))
    ranks, report = analyse(scores, about(**{"voted-3": 3000, "voted-5": 5000}), metrics=metrics(), n_bootstrap=0)
    alone, _ = analyse(table(pipelines=("ridge",)), about(), metrics=metrics(), n_bootstrap=0)
    assert ranks.groupby("group").size().to_dict() == {"single": 8, "with-ensembles": 10}
    assert "type[voted]" not in fit_of(report, pipeline="ridge")["law"]
    assert "type[voted]" in fit_of(report, pipeline="ridge", group="with-ensembles")["law"]
    assert len(alone) == 8


def test_a_pipeline_of_few_parcellations_is_not_in_the_mean_and_it_is_said():
    scores = table(("ridge", "svm"), of={"svm": ["p10", "p100"]})
    ranks, report = analyse(scores, about(), metrics=metrics(), n_bootstrap=5)
    both = [ranks[ranks["ranks"] + ranks["pipeline"] == key] for key in ("across*", "withinridge")]
    np.testing.assert_array_equal(both[0]["mean_rank"], both[1]["mean_rank"])
    svm = fit_of(report, ranks="within", pipeline="svm")
    assert svm["law"] is None
    assert svm["warnings"] == ["a power law needs at least 4 parcellations, found 2"]
    text = "; ".join(report["warnings"])
    assert "pipelines ['svm'] were not run on all 8 parcellations" in text
    assert "within svm, type *: a power law needs at least 4" in text


def test_no_pipeline_that_has_all_parcellations():
    scores = table(("ridge", "svm"), of={"svm": ["p10", "p100"], "ridge": ["p30", "p300", "p1000", "r10", "r100"]})
    _, report = analyse(scores, about(), metrics=metrics(), n_bootstrap=0)
    assert {fit["ranks"] for fit in report["fits"]} == {"within", "inter"}


def test_a_target_without_a_score_is_left_out_and_named():
    scores = table(("ridge",))
    hole = (scores["target"] == "t2") & (scores["parcellation"] == "p30") & (scores["fold"] == "mean")
    for damaged in (scores.assign(value=scores["value"].where(~hole)), scores[~hole]):
        ranks, report = analyse(damaged, about(), metrics=metrics(), n_bootstrap=3)
        without = score_matrix(scores, metrics()).drop(index="t2").rank(axis=1, ascending=False).mean()
        np.testing.assert_allclose(ranks["mean_rank"], without)
        assert set(ranks["n_targets"]) == {5}
        assert "['t2'] is missing: they are not ranked" in report["warnings"][1]


def test_one_target_has_no_intervals():
    ranks, report = analyse(table(n_targets=1), about(), metrics=metrics(1))
    assert report["n_resamples"] == 0
    assert "no intervals" in report["warnings"][0]
    assert "['t0']" in report["warnings"][0]
    assert ranks["low"].isna().all()
    assert fit_of(report, ranks="across")["interval"]["slope"] == [None, None]
    assert fit_of(report, ranks="across")["law"]["slope"] < 0


def test_scores_that_are_all_equal_are_stated():
    scores = table(("ridge",)).assign(value=0.5)
    ranks, report = analyse(scores, about(), metrics=metrics(), n_bootstrap=4)
    assert set(ranks["mean_rank"]) == {4.5}
    assert fit_of(report, pipeline="ridge")["law"]["r2"] is None
    assert "all ranks in the region are equal" in "; ".join(report["warnings"])


def test_parcellations_of_one_size_are_stated():
    described = about().assign(size=100.0)
    _, report = analyse(table(("ridge",)), described, metrics=metrics(), n_bootstrap=4)
    assert all(fit["law"] is None for fit in report["fits"])
    assert "all 8 parcellations have 100 regions" in report["warnings"][1]


def test_what_is_not_described_is_not_ranked_and_it_is_said():
    ranks, report = analyse(table(), about().drop(index="p10"), metrics=metrics(), n_bootstrap=0)
    without, _ = analyse(table()[table()["parcellation"] != "p10"], about(), metrics=metrics(), n_bootstrap=0)
    pd.testing.assert_frame_equal(ranks, without)
    assert report["warnings"][0].startswith("not ranked: ['p10']; ")


def test_sizes_are_those_of_the_regions_that_were_found(tmp_path):
    space = SPACES["fsaverage3"]
    labels = np.resize(np.arange(6), space.n_locations)
    weights = hard_weights(labels, np.arange(1, 9))  # regions 6, 7 and 8 have no location
    for folder in ("blocks", "outside"):
        (tmp_path / folder).mkdir()
    save_atlas(tmp_path / "blocks", Atlas("blocks", space, tuple("abcdefgh"), weights))
    save_regions(tmp_path / "outside", np.zeros((2, 3)), ["s1", "s2"], ["a_thickness", "a_area", "b_area"])
    folders = {name: tmp_path / name for name in ("blocks", "outside")}
    types = {"blocks": "existing", "outside": "other"}
    members = ["blocks", "outside"]
    ensembles = {"both": {"strategy": "voted", "members": members}, "one": {"strategy": "grid", "members": members}}
    ensembles["gone"] = {"strategy": "voted", "members": ["blocks", "lost"]}
    found = describe(folders, types=types, sizes={"outside": 2}, ensembles=ensembles)
    assert found["size"].to_dict() == {"blocks": 5, "outside": 2, "both": 7, "one": 5}
    assert found["type"].to_dict() == {"blocks": "existing", "outside": "other", "both": "voted", "one": "grid"}
    assert list(found["ensemble"]) == [False, False, True, True]
    assert describe(folders, types=types, sizes={}, ensembles={})["size"].to_dict() == {"blocks": 5, "outside": 3}


# The study and its job


def study(**more):
    kinds = {
        "soft": {"kind": "weights", "file": "soft.npy"},
        "grown": {"kind": "random-growth", "n_regions": 20, "seed": 1},
        "ico": {"kind": "icosahedral", "level": 1},
        "ward-9": {"kind": "ward", "n_regions": 9},
    }
    content = {
        "name": "mini",
        "title": "",
        "images": {"root": "", "space": "fsaverage3", "maps": {"a": "{participant_id}/{hemi}.npy"}},
        "tables": {"dkt": {"files": ["regions.csv"]}},
        "phenotypes": {"file": "participants.tsv"},
        "targets": {"fluid": {"kind": "regression"}, "sex": {"kind": "classification"}},
        "parcellations": kinds,
        "pipelines": {"ridge": {"kind": "ridge", "n_configs": 3}},
        "scaling": {"types": {"made": ["ward-*", "ico"]}},
        "report": {"enabled": False},
    }
    return RegionsStudy.model_validate(content | more)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("p")
    (root / "sub-1").mkdir()
    for hemi in "LR":
        (root / "sub-1" / f"{hemi}.npy").write_bytes(b"")
    (root / "participants.tsv").write_text("participant_id\n")
    np.save(root / "soft.npy", np.ones((33, 4)))
    (root / "regions.csv").write_text("participant_id,left,right\nsub-1,1,2\n")
    return root


def test_the_job_of_the_analysis(root):
    job = regions_jobs(study(), Planning(root, file_digest))[-1]
    assert (job.name, job.method, job.links) == ("scaling", "scaling", ("scaling.json", "ranks.parquet"))
    assert job.options["types"] == {
        "soft": "existing",
        "grown": "random",
        "ico": "made",
        "ward-9": "made",
        "dkt": "existing",
    }
    assert job.options["metrics"] == {"fluid": "r2", "sex": "roc_auc"}
    assert job.jobs["regions"] == [*[f"parcellate/{n}" for n in ("soft", "grown", "ico", "ward-9")], "table/dkt"]
    assert job.jobs["scores"] == "scores"
    left = job.without({"parcellate/ico"})
    assert left.options["parcellations"] == ["soft", "grown", "ward-9", "dkt"]
    assert job.without({"scores"}) is None
    assert "scaling" not in [spec.name for spec in regions_jobs(study(scaling=None), Planning(root, file_digest))]


def test_the_members_of_ensembles_are_named(root):
    pipelines = {
        "ridge": {"kind": "ridge", "n_configs": 3},
        "elastic": {"kind": "elastic", "n_configs": 3, "parcellations": ["soft", "ward-9", "dkt"]},
    }
    ensemble = {"parcellations": ["*"], "pipelines": ["ridge"], "strategies": ["voted", "grid"], "n_members": [2]}
    other = {"parcellations": ["*"], "strategies": ["voted"], "n_members": [2, 3]}
    asked = study(pipelines=pipelines, ensembles={"first": ensemble, "any": other})
    found = regions_jobs(asked, Planning(root, file_digest))[-1].options["ensembles"]
    members = ["soft", "grown"]
    assert found["first/voted-2"] == {"members": members, "strategy": "voted"}
    assert found["first/grid-2"] == {"members": members, "strategy": "grid"}
    # The pools of the two pipelines differ, so these have no one size.
    assert set(found) == {"first/voted-2", "first/grid-2"}


def test_another_metric_can_be_ranked_by(root):
    asked = {"metrics": {"regression": "mean_squared_error"}, "sizes": {"dkt": 1}}
    options = regions_jobs(study(scaling=asked), Planning(root, file_digest))[-1].options
    assert options["metrics"] == {"fluid": "mean_squared_error", "sex": "roc_auc"}
    assert options["sizes"] == {"dkt": 1}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"scaling": {"types": {"made": ["wart-9"]}}}, "scaling.types.made: nothing matches: .*did you mean 'ward-9'"),
        ({"scaling": {"sizes": {"dk": 68}}}, "scaling.sizes: nothing matches: .*did you mean 'dkt'"),
        ({"scaling": {"sizes": {"dkt": 0}}}, "greater than or equal to 1"),
        ({"scaling": {"metrics": {"regression": "r3"}}}, "scaling.metrics.regression: is not reported: got 'r3'"),
        ({"evaluate": {"metrics": {"regression": []}}}, "evaluate.metrics.regression is empty"),
        ({"parcellations": {"ico": {"kind": "icosahedral", "level": 1}}}, "at least 4 parcellations, the study has"),
    ],
)
def test_what_a_study_cannot_ask_for(more, said):
    with pytest.raises(ValueError, match=said):
        study(**more)


# The command

ROWS = pd.DataFrame(
    {
        "parcellation": [f"p{k}" for k in range(8)],
        "note": ["a, b"] * 8,
        "size": [10, 20, 50, 100, 200, 500, 1000, 2000],
        "mean_rank": [7.5, 6.0, 5.5, 4.5, 4.0, 3.0, 2.6, 2.0],
        "type": ["Existing", "Random"] * 4,
    }
)


def run(*arguments):
    add_workload_commands(cli.app)
    return CliRunner().invoke(cli.app, ["scaling", *map(str, arguments)])


@pytest.fixture
def rank_table(tmp_path):
    ROWS.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def test_a_table_is_read_as_it_is(rank_table):
    pd.testing.assert_frame_equal(
        read_rank_table(rank_table).reset_index(drop=True),
        ROWS[["parcellation", "size", "mean_rank", "type"]].astype({"size": "float64"}),
    )


def test_the_law_of_a_table_is_printed_one_a_line(rank_table):
    law = fit_power_law(ROWS["size"], ROWS["mean_rank"], list(ROWS["type"]))
    done = run(rank_table)
    assert done.exit_code == 0
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert list(lines) == ["region", "n", "slope", "intercept", "type[Random]", "r2"]
    assert lines["region"] == "{:g} to {:g}".format(*law.region)
    assert int(lines["n"]) == law.n
    for name in law.estimate:
        assert lines[name] == f"{law.estimate[name]:.6f} (se {law.error[name]:.6f})"
    assert "differences from 'Existing'" in done.stderr


def test_the_law_of_a_table_as_json(rank_table):
    law = fit_power_law(ROWS["size"], ROWS["mean_rank"], list(ROWS["type"]))
    found = json.loads(run(rank_table, "--json").stdout)
    assert found == json.loads(json.dumps(law.to_dict()))
    assert found["slope"] == law.estimate["slope"]
    assert found["standard_error"]["type[Random]"] == law.error["type[Random]"]


def test_names_that_come_twice_are_said(tmp_path):
    ROWS.assign(parcellation="same").to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    done = run(tmp_path / "t.tsv")
    assert "occur more than once count as often: ['same']" in done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop(columns="size"), r"no such column: got 'size', must be one of"),
        (lambda t: t.rename(columns={"type": "typ"}), r"got 'type', .*did you mean 'typ'"),
        (lambda t: t.assign(mean_rank=t["mean_rank"].where(t.index != 2)), r"'mean_rank': .*rows \[3\] hold \['nan'\]"),
        (lambda t: t.assign(size=-t["size"]), r"'size': cells must be positive numbers; .*\['-10', .*\(8 rows\)"),
        (lambda t: t.assign(size="many"), r"'size': .*hold \['many', "),
        (lambda t: t.assign(type=[""] + ["x"] * 7), r"'type': cells must not be empty; data rows \[1\]"),
        (lambda t: t.head(3), r"at least 4 parcellations, found 3"),
        (lambda t: t.assign(size=9), r"all 8 parcellations have 9 regions"),
        (lambda t: t.drop(columns="note").head(0), "no rows"),
    ],
)
def test_a_table_that_is_not_right_is_named(tmp_path, change, said):
    change(ROWS).to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(InputError, match=said) as caught:
        run_raising(tmp_path / "bad.csv")
    assert "bad.csv" in str(caught.value)


def run_raising(*arguments):
    done = run(*arguments)
    assert isinstance(done.exception, CortaxError), done.output
    raise done.exception


@pytest.mark.parametrize(("name", "content"), [("a.csv", b"\x89PNG\xff\x00"), ("a.csv", b""), ("a.xlsx", b"PK")])
def test_a_file_that_is_no_table(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        run_raising(tmp_path / name)


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A project where one study with a scaling analysis has been built."""
    scores = table(("ridge", "svm"), of={"svm": ["p10", "p100"]})
    ranks, report = analyse(scores, about(), metrics=metrics(), n_bootstrap=10)
    (tmp_path / "accelerator.conf").touch()
    job = tmp_path / "workdirs" / "main" / "main-3"
    for folder in (tmp_path / "studies", tmp_path / "results" / "mini", job):
        folder.mkdir(parents=True)
    ranks.to_parquet(job / "ranks.parquet")
    (job / "scaling.json").write_text(json.dumps(report))
    outputs.record(job, ["ranks.parquet", "scaling.json"], method="scaling", name="mini/scaling")
    (tmp_path / "results" / "mini" / "build.json").write_text(json.dumps({"jobs": {"scaling": "main-3"}}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_laws_of_a_study_are_printed(built):
    done = run("mini")
    report = json.loads(run("mini", "--json").stdout)
    law = fit_of(report, ranks="across")["law"]
    assert done.stdout.startswith("single, ranks across *, 6 targets\nregion 10 to 1000\n")
    assert f"\nslope {law['slope']:.6f} (se " in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["single", "within", "svm", "*"] in lines, "a fit that there is not has its line"
    assert done.stdout.endswith(f"{len(report['fits'])} rows\n")
    assert "warning: single: the pipelines ['svm'] were not run" in done.stderr
    assert run("studies/mini.toml").stdout == done.stdout


@pytest.mark.parametrize("edit", [lambda text: text.replace("main-3", "main-9"), lambda _: '{"jobs": {}}'])
def test_a_study_without_the_analysis(built, edit):
    log = built / "results" / "mini" / "build.json"
    log.write_text(edit(log.read_text()))
    with pytest.raises(ProjectError, match=r"main-9|put \[scaling\] into its file"):
        run_raising("mini")


def test_an_altered_analysis_is_not_shown(built):
    path = built / "workdirs" / "main" / "main-3" / "scaling.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(ProjectError, match=r"scaling\.json"):
        run_raising("mini")


def test_the_command_ends_with_status_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cortax", "scaling", str(tmp_path / "gone.csv")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"cortax: {tmp_path / 'gone.csv'}: missing file\n"
