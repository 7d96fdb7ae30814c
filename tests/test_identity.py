"""What a finished job is: recorded once beside its results, read back whole, and nothing where that cannot be."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortax.workflow.plan.identity import Identity, identity_of, note_identity
from cortax.workflow.plan.jobspec import JobSpec, Work

WORK = Work("ridge", 6, ((2, 0.5), (1, 3.25)), unit_bytes=1e6, shared_bytes=80.0)
SPEC = JobSpec("tune/dk/ridge@2", "tune", {"n": 1}, key={"parcellation": "dk", "fold": "2"}, work=WORK)
SECONDS = st.floats(0, 1e12)


@given(
    st.dictionaries(st.text(), st.text(), max_size=4),
    st.none()
    | st.builds(
        Work,
        group=st.text(),
        n_units=st.integers(0, 2**53),
        batches=st.lists(st.tuples(st.integers(0, 10**9), SECONDS), max_size=3).map(tuple),
        unit_bytes=SECONDS,
        shared_bytes=SECONDS,
    ),
)
def test_what_was_noted_is_read_back(tmp_path_factory, key, work):
    folder = tmp_path_factory.mktemp("job")
    note_identity(folder, "mini", JobSpec("any", "tune", {}, key=key, work=work))
    assert identity_of(folder) == Identity("mini", "tune", key, work, 1)
    assert [path.name for path in folder.iterdir()] == ["identity.json"]


def test_a_job_keeps_its_first_identity(tmp_path):
    """Another study, or another name, may ask for the same job: what it was made as is what its results say."""
    note_identity(tmp_path, "mini", SPEC)
    note_identity(tmp_path, "other", JobSpec("tune/dk/svm", "tune", {}, key={"parcellation": "dk-2"}))
    assert identity_of(tmp_path) == Identity("mini", "tune", SPEC.key, WORK, 1)


def test_an_identity_that_was_never_written_is_empty(tmp_path):
    assert identity_of(tmp_path) == identity_of(tmp_path / "gone") == Identity()
    assert Identity().study == "", "no study is called so: it is reused by nobody's key"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "work"}),
        lambda text: json.dumps(json.loads(text) | {"of_a_later_version": 1}),
        lambda text: json.dumps(json.loads(text) | {"work": {"group": "ridge"}}),
        lambda text: json.dumps(json.loads(text) | {"work": {**json.loads(text)["work"], "batches": [[1]]}}),
    ],
)
def test_a_damaged_identity_is_empty(tmp_path, damage):
    note_identity(tmp_path, "mini", SPEC)
    path = tmp_path / "identity.json"
    path.write_text(damage(path.read_text()))
    assert identity_of(tmp_path) == Identity()


def test_a_folder_that_cannot_be_written_ends_no_build(tmp_path):
    note_identity(tmp_path / "gone", "mini", SPEC)
    assert identity_of(tmp_path / "gone") == Identity()
