"""What a toy study may say, and its jobs: count/1 -> total/1 -> count/2 -> total/2 -> ... -> tally."""

from typing import Literal

from pydantic import Field

from cortax.errors import StudyError
from cortax.report.plan import report_job
from cortax.study.section import Study
from cortax.workflow.plan.jobspec import JobSpec, Work


class ToyStudy(Study):
    """How many rounds, and how many numbers are counted in each."""

    kind: Literal["toy"]
    rounds: int = Field(ge=1)
    numbers: int = Field(ge=1)


def check_toy(study, root):
    """Refuse what the model cannot see."""
    if study.rounds * study.numbers > 10_000:
        raise StudyError(f"study {study.name!r}: rounds x numbers must be at most 10000")


def toy_jobs(study, planning):
    """List the jobs, methods interleaved."""
    jobs, totals = [], []
    for number in range(1, study.rounds + 1):
        key = {"round": str(number)}
        work = Work("toy", study.numbers, ((study.numbers, 0.01),))
        count = JobSpec(
            f"count/{number}",
            "toy_count",
            {"numbers": study.numbers, "seed": study.seed},
            {"before": totals[-1].name} if totals else {},
            key=key,
            work=work,
        )
        totals.append(JobSpec(f"total/{number}", "toy_total", {}, {"count": count.name}, key=key))
        jobs += [count, totals[-1]]
    inputs = {"totals": [total.name for total in totals]}
    rounds = [total.key["round"] for total in totals]
    tally = JobSpec("tally", "toy_tally", {"rounds": rounds}, inputs, {"totals": "rounds"}, links=("totals.parquet",))
    return [*jobs, tally, report_job(study, [*jobs, tally], planning, "toy_report")]
