"""A workload of another package: rounds of counting, each of which starts from the total of the one before."""

from cortax.workflow.workload import Table, Workload

workload = Workload(
    kind="toy",
    axes=("round",),
    study="toy.study:ToyStudy",
    plan="toy.study:toy_jobs",
    check="toy.study:check_toy",
    essential="toy_tally",
    finding="totals",
    narrowed=("toy_count", "toy_total"),
    units={"toy_count": "round x number"},
    tables={
        "totals": Table("toy_tally", "totals.parquet", "the total of each round", identity=("round",), value="total")
    },
    summary="toy.commands:print_totals",
    commands="toy.commands:commands",
)
