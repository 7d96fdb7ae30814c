"""A study's jobs: which there are, what they are called, and that growing it repeats none."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortax.errors import StudyError
from cortax.provenance.files import file_digest
from cortax.study.patterns import Patterns
from cortax.workflow.workload import Planning
from cortax.workloads.regions.plan.plan import regions_jobs
from cortax.workloads.regions.plan.sizes import Sizes
from cortax.workloads.regions.study.sections import Phenotypes
from cortax.workloads.regions.study.study import RegionsStudy

KINDS = {"fluid": "regression", "sex": "classification", "mood": "regression", "iq": "regression"}
POSITIVE = st.sampled_from([None, "F", "M"])
TARGETS = st.dictionaries(st.sampled_from(sorted(KINDS)), POSITIVE, min_size=1)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("p")
    for subject in ("sub-1", "sub-2"):
        for hemi in "LR":
            (root / subject).mkdir(exist_ok=True)
            (root / subject / f"{hemi}.npy").write_bytes(b"")
    (root / "participants.tsv").write_text("participant_id\n")
    (root / "other.tsv").write_text("participant_id\tnew\n")
    np.save(root / "blocks.npy", np.repeat(np.arange(11), 3).astype(np.int32))
    np.save(root / "soft.npy", np.ones((33, 4)))
    (root / "regions.csv").write_text("participant_id,left,right\nsub-1,1,2\nsub-2,3,4\nsub-3,5,6\n")
    return root


def study(targets=("fluid", "sex"), **more):
    found = {name: {"kind": KINDS[name]} for name in targets}
    if isinstance(targets, dict):
        found = {name: {"kind": "classification", "positive": positive} for name, positive in targets.items()}
    content = {
        "name": "mini",
        "title": "",
        "images": {"root": "", "space": "fsaverage3", "maps": {"a": "{participant_id}/{hemi}.npy"}},
        "phenotypes": {"file": "participants.tsv"},
        "targets": found,
        "splits": {"n_outer": 3},
        "parcellations": {
            "blocks": {"kind": "labels", "file": "blocks.npy"},
            "soft": {"kind": "weights", "file": "soft.npy"},
        },
        "pipelines": {"ridge": {"kind": "ridge", "n_configs": 3}},
        "report": {"enabled": False},
    }
    return RegionsStudy.model_validate(content | more)


class Workdir:
    """Jobs that have run: all that a build would ask for, once each."""

    def __init__(self, root):
        self.root, self.done = root, {}

    def specs(self, asked):
        return regions_jobs(asked, Planning(self.root, file_digest, self))

    def build(self, asked):
        """Return the jobs that ran. Like Exax, know a job by its method, its options and what it depends on."""
        keys, ran = {}, []
        for spec in self.specs(asked):
            inputs = {s: keys[n] if isinstance(n, str) else [keys[one] for one in n] for s, n in spec.jobs.items()}
            key = json.dumps([spec.method, spec.options, inputs], sort_keys=True)
            # Whichever table it comes from, what is read of it is the same: early cut-off.
            read = {name: value for name, value in spec.options.items() if name not in ("file", "digests")}
            keys[spec.name] = json.dumps([spec.method, read, inputs], sort_keys=True)
            if key not in self.done:
                ran.append(spec)
                self.done[key] = spec
        return ran

    def reusable(self, method, study, key):
        assert study == "mini"
        ours = [spec for spec in self.done.values() if spec.method == method and key.items() <= spec.key.items()]
        return [(dict(spec.key), spec.options) for spec in reversed(ours)]

    def finished(self, spec):
        return any(past.method == spec.method and past.options == spec.options for past in self.done.values())


def names(specs, *methods):
    return [spec.name for spec in specs if not methods or spec.method in methods]


def test_the_jobs_of_a_small_study(root):
    specs = regions_jobs(study(), Planning(root, file_digest))
    assert names(specs) == [
        *["load", "parcellate/blocks", "parcellate/soft", "phenotype", "split", "target/fluid", "target/sex"],
        *["tune/blocks/ridge", "tune/soft/ridge", "evaluate/blocks/ridge", "evaluate/soft/ridge", "scores"],
    ]
    known = set()
    for spec in specs:
        assert spec.needs <= known, "each after those that it needs"
        known.add(spec.name)


def test_images_of_nobody_in_the_table_are_no_input(root, tmp_path):
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    (tmp_path / "participants.tsv").write_text("participant_id\tfluid\nsub-1\t1\nsub-2\t2\nsub-3\t3\n")
    before, *_ = regions_jobs(study(), Planning(tmp_path, file_digest))
    assert before.options["leave_out"] == []
    shutil.copytree(tmp_path / "sub-1", tmp_path / "pilot")
    after, *_ = regions_jobs(study(), Planning(tmp_path, file_digest))
    assert after.options == {**before.options, "leave_out": ["pilot"]}
    assert regions_jobs(study(), Planning(tmp_path, file_digest))[0] == after, "and so it is remembered"


def test_a_plan_tells_what_it_takes_for_background(root, tmp_path):
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    colours = np.array([[10 * i + 5, 3, 7, 0] for i in range(3)])
    for hemi in "lr":
        names = ["unknown", f"{hemi}h_a", "L_???"]
        nib.freesurfer.write_annot(tmp_path / f"{hemi}h.annot", np.arange(642) % 3, colours, names, fill_ctab=True)
    spec = {"kind": "labels", "left": "lh.annot", "right": "rh.annot"}
    load, *_ = regions_jobs(study(parcellations={"one": spec, "two": spec}), Planning(tmp_path, file_digest))
    assert load.notes == ("no region, but background: unknown, L_??? (in one, two)",)


def test_a_report_rests_on_all_other_jobs(root):
    *others, report = regions_jobs(study(report={"enabled": True}), Planning(root, file_digest))
    assert names(others, "picture") == ["picture/blocks", "picture/soft"]
    assert report.needs == {spec.name for spec in others}
    assert report.without({"tune/soft/ridge"}).needs == report.needs - {"tune/soft/ridge"}


def test_who_is_studied_does_not_depend_on_what_is_predicted(root):
    fixed = ("load", "parcellate", "phenotype", "split")
    few, many = (regions_jobs(study(targets), Planning(root, file_digest)) for targets in (["fluid"], list(KINDS)))
    assert [spec for spec in few if spec.method in fixed] == [spec for spec in many if spec.method in fixed]


def test_the_order_of_targets_changes_nothing(root):
    assert regions_jobs(study(["sex", "fluid"]), Planning(root, file_digest)) == regions_jobs(
        study(["fluid", "sex"]), Planning(root, file_digest)
    )


def test_another_target_adds_jobs_and_repeats_none(root):
    workdir = Workdir(root)
    workdir.build(study())
    ran = workdir.build(study(["fluid", "iq", "mood", "sex"]))
    assert names(ran) == [
        *["target/iq", "target/mood", "tune/blocks/ridge/iq-and-1", "tune/soft/ridge/iq-and-1"],
        *["evaluate/blocks/ridge/iq-and-1", "evaluate/soft/ridge/iq-and-1"],
        *["collect/blocks/ridge", "collect/soft/ridge", "scores"],
    ]
    specs = {spec.name: spec for spec in workdir.specs(study(["fluid", "iq", "mood", "sex"]))}
    assert specs["collect/soft/ridge"].options["take"] == [["fluid", "sex"], ["iq", "mood"]]
    assert specs["scores"].jobs["evaluate"] == ["collect/blocks/ridge", "collect/soft/ridge"]
    assert workdir.build(study(["fluid", "iq", "mood", "sex"])) == []
    assert workdir.build(study()) == [], "and less again is what was"


def test_what_is_collected_does_without_a_block_that_failed_but_not_without_a_fold(root):
    workdir = Workdir(root)
    workdir.build(study())
    specs = {spec.name: spec for spec in workdir.specs(study(["fluid", "iq", "sex"]))}
    left = specs["collect/soft/ridge"].without({"evaluate/soft/ridge/iq"})
    assert left.options["take"] == [["fluid", "sex"]]
    assert left.jobs["evaluate"] == ["evaluate/soft/ridge"]
    assert specs["collect/soft/ridge"].without({"split"}) is None
    specs = {spec.name: spec for spec in regions_jobs(study(grid={"by_fold": ["soft"]}), Planning(root, file_digest))}
    assert specs["collect/soft/ridge"].without({"evaluate/soft/ridge@1"}) is None


def test_a_target_less_is_left_out_where_all_is_collected(root):
    workdir = Workdir(root)
    workdir.build(study())
    ran = workdir.build(study(["fluid"]))
    assert names(ran) == ["collect/blocks/ridge", "collect/soft/ridge", "scores"]
    retired = names(workdir.specs(study(["fluid"])), "target")
    assert retired[0] == "target/fluid"
    assert retired[1].startswith("retired/sex/")


def test_a_target_less_of_another_table_is_searched_without_it(root):
    """Whether the old one can still be read from the table, nobody knows."""
    workdir = Workdir(root)
    workdir.build(study())
    ran = workdir.build(study(["fluid"], phenotypes={"file": "other.tsv"}))
    assert names(ran, "target", "tune", "collect") == ["target/fluid", "tune/blocks/ridge", "tune/soft/ridge"]


@pytest.mark.parametrize("meanwhile", [[["fluid"]], [["iq"], ["fluid", "iq"]]])
def test_a_target_that_comes_back_is_searched_again_by_no_block(root, meanwhile):
    """Two blocks then hold `fluid`: the one of both targets, and the one that was made when nobody knew."""
    workdir = Workdir(root)
    workdir.build(study())
    for targets in meanwhile:
        workdir.build(study(targets, phenotypes={"file": "other.tsv"}))
    ran = workdir.build(study())
    assert names(ran) == ["collect/blocks/ridge", "collect/soft/ridge", "scores"]
    (collected, _) = [spec for spec in workdir.specs(study()) if spec.method == "collect"]
    assert sorted(collected.options["take"]) == [["fluid"], ["sex"]]
    ran = workdir.build(study(["fluid", "mood", "sex"]))
    assert names(ran, "tune") == ["tune/blocks/ridge/mood", "tune/soft/ridge/mood"]


def test_what_must_be_searched_anew_is_searched_together(root):
    workdir = Workdir(root)
    workdir.build(study())
    workdir.build(study(list(KINDS)))
    ran = workdir.build(study(list(KINDS), pipelines={"ridge": {"kind": "ridge", "n_configs": 4}}))
    assert names(ran, "tune") == ["tune/blocks/ridge", "tune/soft/ridge"]
    assert names(ran, "collect") == []


@settings(deadline=None, max_examples=30)
@given(st.lists(TARGETS, min_size=1, max_size=5))
def test_no_target_is_searched_twice_whatever_comes_and_goes(root, history):
    workdir, searched = Workdir(root), []
    for targets in history:
        asked = study(targets)
        for spec in workdir.build(asked):
            if spec.method == "tune":
                where = spec.key["parcellation"]
                searched += [(where, name, json.dumps(found)) for name, found in spec.options["targets"].items()]
        assert workdir.build(asked) == []
        for job in [spec for spec in workdir.specs(asked) if spec.method == "collect"]:
            assert sorted(name for part in job.options["take"] for name in part) == sorted(targets)
    assert len(searched) == len(set(searched))


MORE = {
    "parcellation": {"ico": {"kind": "icosahedral", "level": 0}},
    "pipeline": {"elastic": {"kind": "elastic", "n_configs": 2}},
}
TABLES = st.sampled_from(["participants.tsv", "other.tsv"])
GRIDS = st.sampled_from([{}, {"by_fold": ["soft"]}, {"by_fold_above": 9}, {"by_fold_above": 99}])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(TARGETS, TABLES, GRIDS), min_size=1, max_size=5), TARGETS)
def test_growing_repeats_no_search_and_no_evaluation(root, history, more):
    """Of a study with any past, by a target, a parcellation or a pipeline."""
    workdir = Workdir(root)
    for targets, table, grid in history:
        asked = {"targets": targets, "phenotypes": {"file": table}, "grid": grid}
        workdir.build(study(**asked))
    models = ("tune", "evaluate")
    grown = study(**asked | {"targets": {**more, **targets}})
    ran = [spec for spec in workdir.build(grown) if spec.method in models]
    assert not {name for spec in ran for name in spec.options.get("targets", {})} & set(targets)
    parcellations = study().parcellations | MORE["parcellation"]
    wider = study(**asked | {"targets": {**more, **targets}, "parcellations": parcellations})
    ran = [spec for spec in workdir.build(wider) if spec.method in models]
    assert {spec.key["parcellation"] for spec in ran} == {"ico"}
    assert {name for spec in ran for name in spec.covers["target"]} == {*more, *targets}
    pipelines = {"ridge": {"kind": "ridge", "n_configs": 3}} | MORE["pipeline"]
    ran = [spec for spec in workdir.build(study(**asked, pipelines=pipelines)) if spec.method in models]
    assert {spec.key["pipeline"] for spec in ran} == {"elastic"}


def test_jobs_by_fold(root):
    specs = regions_jobs(study(grid={"by_fold": ["so*"]}), Planning(root, file_digest))
    assert names(specs, "tune", "evaluate", "collect", "scores") == [
        *["tune/blocks/ridge", "tune/soft/ridge@0", "tune/soft/ridge@1", "tune/soft/ridge@2"],
        *["evaluate/blocks/ridge", "evaluate/soft/ridge@0", "evaluate/soft/ridge@1", "evaluate/soft/ridge@2"],
        *["collect/soft/ridge", "scores"],
    ]
    by_name = {spec.name: spec for spec in specs}
    assert by_name["scores"].jobs["evaluate"] == ["evaluate/blocks/ridge", "collect/soft/ridge"]
    assert by_name["scores"].options["evaluations"] == [
        {"parcellation": name, "pipeline": "ridge"} for name in ("blocks", "soft")
    ]
    assert by_name["evaluate/soft/ridge@1"].jobs["tune"] == "tune/soft/ridge@1"
    assert [by_name[f"tune/soft/ridge@{k}"].work.n_units for k in range(3)] == [2, 2, 2]
    assert by_name["tune/blocks/ridge"].work.n_units == 6
    # How they are scored is asked of what collects them: another metric refits nothing.
    assert by_name["evaluate/soft/ridge@1"].options["metrics"] == {}


def test_by_fold_above_a_number_of_columns(root):
    def cut(limit):
        specs = regions_jobs(study(grid={"by_fold_above": limit}), Planning(root, file_digest))
        return sorted({spec.key["parcellation"] for spec in specs if spec.method == "tune" and "fold" in spec.key})

    assert [cut(limit) for limit in (3, 4, 9, 10)] == [["blocks", "soft"], ["blocks"], ["blocks"], []]


def test_growing_a_study_that_is_cut_by_fold(root):
    workdir = Workdir(root)
    grid = {"by_fold": ["soft"]}
    workdir.build(study(grid=grid))
    ran = workdir.build(study(["fluid", "iq", "sex"], grid=grid))
    assert names(ran, "tune") == ["tune/blocks/ridge/iq", *[f"tune/soft/ridge/iq@{k}" for k in range(3)]]
    assert names(workdir.build(study()), "tune") == [], "where nothing is said, it stays as it is cut"
    ran = workdir.build(study(["fluid", "mood", "sex"]))
    assert names(ran, "tune") == ["tune/blocks/ridge/mood", "tune/soft/ridge/mood"], "and what is new is not cut"
    specs = {spec.name: spec for spec in workdir.specs(study(["fluid", "mood", "sex"]))}
    assert specs["collect/soft/ridge"].options["take"] == [*[["fluid", "sex"]] * 3, ["mood"]]
    assert specs["tune/soft/ridge/mood"].work.n_units == 3, "of all folds"
    ran = workdir.build(study(grid={"by_fold_above": 99}))
    assert names(ran, "tune") == ["tune/soft/ridge"], "cut otherwise, it is another job"


def test_a_pipeline_without_parcellations_is_an_error(root):
    asked = study()
    pipeline = asked.pipelines["ridge"].model_copy(update={"parcellations": Patterns(())})
    with pytest.raises(StudyError, match=r"pipelines\.ridge: no parcellation is left"):
        regions_jobs(asked.model_copy(update={"pipelines": {"ridge": pipeline}}), Planning(root, file_digest))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"grid": {"by_fold": ["sof"]}}, "grid.by_fold: nothing matches: got 'sof'"),
        ({"grid": {"by_folds": ["soft"]}}, "by_folds"),
        (
            {
                "grid": {"by_fold": ["soft"]},
                "splits": {"scheme": "leave-one-site-out"},
                "phenotypes": {"file": "participants.tsv", "site": "site"},
            },
            "grid.by_fold goes with splits.scheme = 'group-kfold'",
        ),
    ],
)
def test_wrong_grids_are_refused(more, said):
    with pytest.raises(ValueError, match=said):
        study(**more)


def test_sizes_are_remembered_by_content(root, tmp_path):
    memory = tmp_path / "sizes.json"
    sizes = Sizes(memory)
    assert sizes.n_regions({"kind": "labels", "file": "blocks.npy"}, {"blocks.npy": "aa"}, root) == 10
    assert sizes.n_regions({"kind": "weights", "file": "soft.npy"}, {"soft.npy": "bb"}, root) == 4
    assert sizes.n_regions({"kind": "icosahedral", "level": 1}, {}, root) == 84
    assert sizes.n_regions({"kind": "ward", "n_regions": 7}, {}, root) == 7
    table = {
        "files": ["regions.csv"],
        "sessions": None,
        "id": ["participant_id"],
        "columns": None,
        "drop": [],
        "missing": [],
        "id_rule": None,
        "where": "",
        "subjects": None,
    }
    assert sizes.of_table({**table, "id_prefix": ""}, ["cc"], root) == (3, 2)
    sizes.save()
    elsewhere = tmp_path / "nothing"
    again = Sizes(memory)
    assert again.n_regions({"kind": "labels", "file": "blocks.npy"}, {"blocks.npy": "aa"}, elsewhere) == 10
    assert again.n_regions({"kind": "labels", "file": "blocks.npy"}, {"blocks.npy": "changed"}, elsewhere) == 0
    memory.write_text("{damaged")
    assert Sizes(memory).n_regions({"kind": "weights", "file": "soft.npy"}, {"soft.npy": "bb"}, root) == 4


def test_a_damaged_parcellation_is_left_to_its_own_job(root, tmp_path):
    (tmp_path / "soft.npy").write_bytes(b"\x93NUMPY")
    assert Sizes(tmp_path / "none").n_regions({"kind": "weights", "file": "soft.npy"}, {}, tmp_path) == 0


def test_who_is_listed_is_known_whatever_tells_people_apart(tmp_path):
    """A group that the study names answers what `read_phenotypes` would ask."""
    (tmp_path / "people.csv").write_text("centre,number,fam\nA,1,f\nA,2,f\nB,1,g\n")
    naming = Phenotypes(file="people.csv", id=["centre", "number"]).model_dump()
    assert Sizes(tmp_path / "sizes.json").identifiers(naming, {"people.csv": "aa"}, tmp_path) == {"A_1", "A_2", "B_1"}


def test_a_project_that_is_moved_asks_for_the_same_jobs(root, tmp_path, monkeypatch):
    """Places that lie in the project are kept relative to it, however the study says them."""
    moved = shutil.copytree(root, tmp_path / "moved")
    options = []
    for place in (root, moved):
        monkeypatch.setenv("COHORT", str(place))
        people = {"file": "$COHORT/participants.tsv", "exclude": "${COHORT}/regions.csv"}
        images = {"root": "$COHORT", "space": "fsaverage3", "maps": {"a": "{participant_id}/{hemi}.npy"}}
        blocks = {"blocks": {"kind": "labels", "file": "$COHORT/blocks.npy"}}
        tables = {"mine": {"files": ["$COHORT/regions.csv"]}}
        asked = study(phenotypes=people, images=images, parcellations=blocks, tables=tables)
        jobs = regions_jobs(asked, Planning(place, file_digest))
        options.append(json.dumps([[job.name, job.options] for job in jobs]))
    assert options[0] == options[1]
    assert str(tmp_path) not in options[1]
