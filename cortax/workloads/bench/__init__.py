"""How long work takes on this machine, by processes, threads, estimator jobs and back-ends."""

from cortax.workflow.workload import Table, Workload

__all__ = ["workload"]

_HOME = "cortax.workloads.bench"

workload = Workload(
    kind="bench",
    axes=("solver", "n_targets", "n_genes", "setting", "repeat"),
    study=f"{_HOME}.study:BenchStudy",
    plan=f"{_HOME}.study:timing_jobs",
    check=f"{_HOME}.study:check_timings",
    essential="timings",
    finding="timings",
    narrowed=("time_network",),
    tables={"timings": Table("timings", "timings.parquet", "seconds, speed-up, memory and costs by setting")},
    summary=f"{_HOME}.commands:print_timings",
    commands=f"{_HOME}.commands:commands",
)
