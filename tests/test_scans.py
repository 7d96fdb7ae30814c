"""Sessions and runs in the names of images: which are rows, which are averaged, and who is on which side of a split."""

from __future__ import annotations

import numpy as np
import pytest

from cortax.brain.data.image_names import ScanKey, natural
from cortax.brain.data.maps import find_maps, inventory, load_maps, open_maps
from cortax.brain.data.phenotype_table import People, RowRules, read_phenotypes
from cortax.brain.data.scans import choose_rows
from cortax.brain.data.spaces import Space
from cortax.errors import InputError
from cortax.learning.folds import check_folds, make_folds
from cortax.workloads.regions.study.sections import Images

SPACE = Space("tiny", "surface", n_left=2, n_right=2)
PATTERN = "sub-{participant_id}/ses-{session}/func/sub-{participant_id}_ses-{session}_run-{run}_{hemi}.npy"
WHOLE = "sub-{participant_id}/ses-{session}/anat/sub-{participant_id}_ses-{session}_{hemi}.npy"
SCANS = [("01", "1", "1"), ("01", "1", "2"), ("01", "2", "1"), ("01", "10", "1"), ("02", "1", "1"), ("03", "2", "1")]


def write(root, person, session, run, value=None):
    """One scan of four vertices; its values say whose it is."""
    values = np.array([1, 2, 3, 4], np.float32) * (int(person) + int(session) / 10 + int(run) / 100)
    values = values if value is None else np.array(value, np.float32)
    for name in (PATTERN, WHOLE):
        for hemi, part in (("L", values[:2]), ("R", values[2:])):
            path = root / name.format(participant_id=person, session=session, run=run, hemi=hemi)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, part)
    return values


@pytest.fixture
def root(tmp_path):
    for scan in SCANS:
        write(tmp_path / "in", *scan)
    (tmp_path / "out").mkdir()
    return tmp_path / "in"


def subjects(root, sessions=None, runs="average", pattern=PATTERN, **options):
    return list(find_maps(root, {"x": pattern}, sessions=sessions, runs=runs, **options).subjects)


def load(root, sessions, runs="average", **options):
    files = find_maps(root, {"x": PATTERN}, sessions=sessions, runs=runs)
    out = root.parent / "out"
    loaded = load_maps(files, out, space=SPACE, inventory_digest=inventory(files)[1], **options)
    return loaded, dict(zip(loaded.subjects, open_maps(out).values[:, 0], strict=True))


@pytest.mark.parametrize(
    ("sessions", "runs", "expected"),
    [
        ("each", "average", ["01_1", "01_10", "01_2", "02_1", "03_2"]),
        ("each", "each", ["01_10_1", "01_1_1", "01_1_2", "01_2_1", "02_1_1", "03_2_1"]),
        ("average", "average", ["01", "02", "03"]),
        ("average", "each", ["01_1", "01_2", "02_1", "03_1"]),
        ("first", "first", ["01", "02", "03"]),
        (["1"], "average", ["01", "02"]),
        (["1", "2"], "average", ["01_1", "01_2", "02_1", "03_2"]),
    ],
)
def test_rows_are_called_after_what_tells_them_apart(root, sessions, runs, expected):
    assert subjects(root, sessions, runs) == sorted(expected)


def test_who_lacks_a_named_session_or_run_is_left_out_with_that_reason(root):
    found = find_maps(root, {"x": PATTERN}, sessions=["1"])
    assert [(drop.participant_id, drop.reason) for drop in found.dropped] == [("03", "no session '1'")]
    found = find_maps(root, {"x": PATTERN}, sessions=["1", "2"], runs=["2"])
    assert found.subjects == ("01_1",)
    assert ("02_2", "no session '2'") in [(drop.participant_id, drop.reason) for drop in found.dropped]
    assert ("02_1", "no run '2'") in [(drop.participant_id, drop.reason) for drop in found.dropped]
    with pytest.raises(InputError, match=r"images\.sessions: no image is of it: got 'baseline', must be one of"):
        subjects(root, ["baseline"])


def test_nothing_is_chosen_silently(root):
    said = (
        r"1 of 3 subjects have several sessions, such as '01': \['1', '2', '10'\]; all sessions are \['1', '2', '10'\]"
    )
    with pytest.raises(InputError, match=said + ".*sessions = 'each'"):
        subjects(root)
    # Who is in no table may have several.
    assert subjects(root, leave_out=lambda subject: subject == "01") == ["02", "03"]


def test_means_are_of_sessions_each_the_mean_of_its_runs(root):
    _, values = load(root, "average")
    scan = {key: np.array([1, 2, 3, 4]) * (1 + key[0] / 10 + key[1] / 100) for key in ((1, 1), (1, 2), (2, 1), (10, 1))}
    one = (scan[1, 1] + scan[1, 2]) / 2
    np.testing.assert_allclose(values["01"], (one + scan[2, 1] + scan[10, 1]) / 3, rtol=1e-6)
    # Of a single scan nothing is computed.
    np.testing.assert_array_equal(values["02"], np.array([1, 2, 3, 4], np.float32) * (2 + 1 / 10 + 1 / 100))
    _, first = load(root, "first", "first")
    np.testing.assert_allclose(first["01"], scan[1, 1], rtol=1e-6)
    _, each = load(root, "each")
    np.testing.assert_allclose(each["01_1"], one, rtol=1e-6)


def test_a_location_that_one_run_lacks_is_the_mean_of_the_others(root):
    write(root, "01", "1", "2", [np.nan, 1, 1, 1])
    write(root, "02", "1", "2", [np.nan] * 4)
    _, values = load(root, "each", max_missing=0.5)
    assert values["01_1"][0] == pytest.approx(1.11)
    assert "02_1" in values  # a run of which too much is missing is left out


@pytest.mark.parametrize("harm", ["cut", "missing"])
def test_a_damaged_run_is_left_out_and_told_and_the_others_are_used(root, harm):
    path = root / PATTERN.format(participant_id="01", session="1", run="2", hemi="R")
    path.write_bytes(path.read_bytes()[:-3]) if harm == "cut" else path.unlink()
    loaded, values = load(root, "each")
    np.testing.assert_allclose(values["01_1"], np.array([1, 2, 3, 4]) * 1.11, rtol=1e-6)
    assert [scan.participant_id for scan in loaded.lost] == ["01_1, session 1, run 2"]
    assert loaded.dropped == ()
    assert loaded.notes[-1].startswith("1 scan cannot be used, others of the same subjects are: ")
    assert "01_1, session 1, run 2" in (root.parent / "out/lost_scans.csv").read_text()
    if harm == "cut":
        with pytest.raises(InputError, match="run-2_R"):
            load(root, "each", damaged="error")
    # The first is meant, and no other stands in for it.
    write(root, "02", "1", "2")
    (root / PATTERN.format(participant_id="02", session="1", run="1", hemi="R")).write_bytes(b"")
    loaded, values = load(root, "each", "first")
    assert [drop.participant_id for drop in loaded.dropped] == ["02_1"]


def test_somebody_without_any_scan_that_can_be_used_is_left_out(root):
    for run in "12":
        (root / PATTERN.format(participant_id="01", session="1", run=run, hemi="L")).write_bytes(b"")
    loaded, _ = load(root, "each")
    (drop,) = loaded.dropped
    assert (drop.participant_id, drop.reason) == ("01_1", "all 2 scans: empty file (0 bytes)")


def test_a_map_without_runs_is_the_same_in_all(root):
    patterns = {"x": PATTERN, "thickness": WHOLE}
    files = find_maps(root, patterns, sessions="each")
    assert files.subjects == ("01_1", "01_10", "01_2", "02_1", "03_2")
    load_maps(files, root.parent / "out", space=SPACE)
    maps = open_maps(root.parent / "out")
    np.testing.assert_allclose(maps.values[0, 0], np.array([1, 2, 3, 4]) * 1.12, rtol=1e-6)  # written by the last run
    # A session that has only one of the maps is told.
    (root / WHOLE.format(participant_id="02", session="7", hemi="L")).parent.mkdir(parents=True)
    np.save(root / WHOLE.format(participant_id="02", session="7", hemi="L"), np.ones(2))
    (drop,) = find_maps(root, patterns, sessions="each").dropped
    assert (drop.participant_id, drop.reason[:13]) == ("02_7", "missing file:")
    with pytest.raises(InputError, match="must both be in the pattern of one of the maps"):
        find_maps(root, {"x": PATTERN.replace("ses-{session}_run-{run}", "ses-*_run-{run}").replace("{session}", "*"),
                         "y": WHOLE})  # fmt: skip


def test_a_name_that_can_be_read_in_two_ways_is_an_error(tmp_path):
    for name in ("a_b_1_x.npy", "a_1_x.npy"):
        np.save(tmp_path / name, np.ones(4))
    with pytest.raises(InputError, match=r"may be of subject 'a', session 'b' or of subject 'a_b', session '1'"):
        subjects(tmp_path, pattern="{participant_id}_{session}_*.npy")
    assert subjects(tmp_path, pattern="{participant_id}_{session}_x.npy") == ["a", "a_b"]
    (tmp_path / "p/year_1_arm").mkdir(parents=True)
    np.save(tmp_path / "p/year_1_arm/x.npy", np.ones(4))
    assert subjects(tmp_path, "each", pattern="{participant_id}/{session}/x.npy") == ["p_year_1_arm"]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{participant_id}_{sesion}.npy", "did you mean 'session'"),
        ("{participant_id}_{session}*.npy", r"text must separate {session} from '\*'"),
        ("{participant_id}{run}.npy", "text must separate"),
    ],
)
def test_patterns_of_sessions_that_cannot_work(tmp_path, pattern, said):
    with pytest.raises(InputError, match=said):
        subjects(tmp_path, pattern=pattern)


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"sessions": "each"}, r"sessions = 'each' needs {session} in the patterns"),
        ({"runs": ["1"]}, r"runs = \['1'\] needs {run} in the patterns"),
        ({"sessions": []}, "the list is empty"),
        ({"sessions": "last"}, "'each', 'average' or 'first'"),
    ],
)
def test_keys_of_sessions_that_cannot_be_meant(about, said):
    with pytest.raises(ValueError, match=said):
        Images(root="in", space="fsaverage5", maps={"x": "{participant_id}.npy"}, **about)


def test_numbers_in_names_sort_as_numbers():
    assert sorted(["10", "2", "b", "a10", "a9"], key=natural) == ["2", "10", "a9", "a10", "b"]
    scans = [ScanKey("a", session, "") for session in ("10", "9")]
    assert choose_rows(scans, "first", "average")[0].scans == (ScanKey("a", "9", ""),)


def test_files_of_other_sessions_are_no_input(root):
    files = find_maps(root, {"x": PATTERN}, sessions=["1"])
    before = inventory(files)[1]
    write(root, "01", "2", "1", [9, 9, 9, 9])
    assert inventory(find_maps(root, {"x": PATTERN}, sessions=["1"]))[1] == before
    write(root, "01", "1", "2", [9, 9, 9, 9])
    assert inventory(find_maps(root, {"x": PATTERN}, sessions=["1"]))[1] != before


@pytest.mark.parametrize("runs", ["average", "each"])
@pytest.mark.parametrize("table", ["rows", "people", "columns"])
def test_a_person_is_never_on_both_sides_of_a_split(tmp_path, table, runs):
    names = [str(number) for number in range(12)]
    for name in names:
        for session in ("1", "2", "12"):
            for run in ("1", "2"):
                write(tmp_path / "in", name, session, run)
    files = find_maps(tmp_path / "in", {"x": PATTERN}, sessions="each", runs=runs)
    path, endings = tmp_path / "p.csv", list(files.endings)
    if table == "rows":
        path.write_text("id\n" + "\n".join(files.subjects))
        people = People((path,), RowRules(["id"]))
    elif table == "people":
        path.write_text("id\n" + "\n".join(names))
        people, endings = People((path,), RowRules(["id"]), sessions=files.endings), []
    else:
        rows = [subject.split("_", 1) for subject in files.subjects]
        path.write_text("participant_id,scan\n" + "\n".join(map(",".join, rows)))
        people = People((path,), RowRules(["participant_id", "scan"]))
    found = read_phenotypes(people, endings=endings)
    assert sorted(found.table.index) == sorted(files.subjects)
    groups = found.table["group"]
    assert (groups == [subject.split("_")[0] for subject in found.table.index]).all()
    folds = make_folds(groups.to_numpy(str), n_outer=3, n_inner=2, seed=1)
    check_folds(folds, [subject.split("_")[0] for subject in found.table.index])
