"""The order of a build: every job after those that it needs, whatever the plan's own order and the expected costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortax.errors import ProjectError
from cortax.workflow.plan.jobspec import JobSpec, Work
from cortax.workflow.plan.order import build_order


def _spec(name: str, *needs: str, heavy: bool = False) -> JobSpec:
    work = Work("ridge", 1, ((1, 1.0),)) if heavy else None
    return JobSpec(name, name.partition("/")[0], {}, {"needs": list(needs)} if needs else {}, work=work)


@st.composite
def plans(draw):
    """Draw jobs of three methods in any order, each needing some of those with a smaller number."""
    n_jobs = draw(st.integers(1, 12))
    names = [f"{draw(st.sampled_from('abc'))}/{number}" for number in range(n_jobs)]
    jobs = [
        _spec(name, *draw(st.lists(st.sampled_from(names[:number]), unique=True)), heavy=draw(st.booleans()))
        if number
        else _spec(name)
        for number, name in enumerate(names)
    ]
    return draw(st.permutations(jobs)), {name: draw(st.floats(0.1, 100)) for name in names}


@given(plans())
def test_every_job_comes_once_and_after_its_needs(drawn):
    specs, seconds = drawn
    ordered = build_order(specs, lambda spec: seconds[spec.name])
    assert sorted(spec.name for spec in ordered) == sorted(spec.name for spec in specs)
    done: set[str] = set()
    for spec in ordered:
        assert spec.needs <= done
        done.add(spec.name)


def test_methods_may_interleave():
    specs = [
        _spec("train/1"),
        _spec("generalise/1", "train/1"),
        _spec("train/2", "generalise/1"),
        _spec("generalise/2", "train/2"),
    ]
    names = [spec.name for spec in build_order(specs, lambda _: 1.0)]
    assert names == ["train/1", "generalise/1", "train/2", "generalise/2"]


def test_the_longest_of_a_method_is_first():
    specs = [_spec("load"), _spec("tune/short", "load", heavy=True), _spec("tune/long", "load", heavy=True)]
    seconds = {"load": 1.0, "tune/short": 2.0, "tune/long": 3.0}
    ordered = build_order(specs, lambda spec: seconds[spec.name])
    assert [spec.name for spec in ordered] == ["load", "tune/long", "tune/short"]


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([_spec("a"), _spec("a")], r"two jobs of one name: \['a'\]"),
        ([_spec("a", "b")], r"job 'a' needs \['b'\], which the plan does not have"),
        ([_spec("a", "b"), _spec("b", "a")], "jobs need each other: [ab] -> [ab] -> [ab]"),
    ],
)
def test_a_plan_that_cannot_be_ordered_is_refused(specs, message):
    with pytest.raises(ProjectError, match=message):
        build_order(specs, lambda _: 1.0)
