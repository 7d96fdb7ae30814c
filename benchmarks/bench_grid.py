"""The published grid of sequences: 101 sites x 9 factors x 30 seeds, 27,270 models, as one study (SIMULATED tables).

    python benchmarks/bench_grid.py [plan] [part] [noop] [--sites N]

`plan`: it is planned as `cortax plan` does, each time in a fresh process, first without any cache; then finished, and
finished and grown by a seed. `part`: a pack of eight models is trained for a few epochs in the published shape (hidden
20, windows of 365 days, 7 inputs, 200 + 100 epochs), one site is read and scored, and all of it is extrapolated.
`noop`: a build that has nothing to do, through a real Exax server in a copy of the project, in which sites, networks
and predictions are simulated (methods keep their imports, options and inputs); choice and comparison are not.
"""

import argparse
import os
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from bench_noop import copy_code, cortax, environment, measure_builds
from bench_plan import measure, write_finished, write_frame

N_SITES = 101
INPUTS = [f"input-{number}" for number in range(5)]
STUDY = """
kind = "sequences"
name = "large"
title = "The published grid"
simulated = true

[sites]
files = "input/{site}.csv"
names = SITES
train = [1990-01-01, 2003-12-31]
validation = [2004-01-01, 2008-12-31]
test = [2009-01-01, 2013-12-31]
window = 365

[inputs]
columns = INPUTS

[targets.flow]
column = "flow"
primary = true

[targets.temperature]
column = "temperature"

[network]
hidden = 20

[training]
epochs = [200, 100]
batch = 10
factors = [0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4]
seeds = SEEDS
"""
# What stands for the work of a method: the files of its jobs, and of `skill` a table of all models.
SHELL = """

import numpy as np
import pandas as pd
from cortax.provenance import outputs


def synthesis(job):
    names = [f"result-{i}.npy" for i in range(3)]
    names += {"sequences_report": ["report.html"], "skill": ["means.parquet"]}.get(job.method, [])
    for name in names:
        with open(name, "w") as file:
            file.write(job.params.caption + name)
    if job.method == "skill":
        models = pd.DataFrame(jobs.predict.params.options["models"], columns=["factor", "seed"])
        rng = np.random.default_rng(len(job.params.caption))
        tables = []
        for period in ("validation", "test"):
            values = {name: rng.normal(size=len(models)) for name in ("nse", "kge", "rmse", "bias")}
            tables.append(models.assign(period=period, target="flow", diverged="no", n_days=1000, **values))
        pd.concat(tables).to_parquet("skill.parquet", index=False)
        names.append("skill.parquet")
    outputs.record(job.path, names, method=job.method, name=job.params.caption)


for _name in ("prepare", "analysis"):
    globals().pop(_name, None)
"""


def names_of(n_sites):
    return [f"site-{number:03d}" for number in range(n_sites)]


def study_text(n_sites, n_seeds=30):
    return STUDY.replace("SITES", str(names_of(n_sites))).replace("INPUTS", str(INPUTS)).replace("SEEDS", str(n_seeds))


def write_site(path, seed):
    """24 years of days: a reservoir that the first input fills, and a temperature that is mostly missing."""
    rng = np.random.default_rng(seed)
    days = pd.date_range("1990-01-01", "2013-12-31")
    table = pd.DataFrame(np.round(rng.gamma(1.0, size=(len(days), len(INPUTS))), 3), columns=INPUTS)
    table.insert(0, "date", days.strftime("%Y-%m-%d"))
    table["flow"] = np.round(np.convolve(table[INPUTS[0]], 0.9 ** np.arange(60))[: len(days)], 3)
    table["temperature"] = (15 + 10 * np.sin(2 * np.pi * days.day_of_year / 365.25)).where(rng.random(len(days)) < 0.1)
    table.to_csv(path, index=False)


def write_project(root, n_sites):
    write_frame(root)
    past = time.time() - 60
    for seed, site in enumerate(names_of(n_sites)):
        path = root / f"input/{site}.csv"
        write_site(path, seed)
        os.utime(path, (past, past))
    (root / "studies/large.toml").write_text(study_text(n_sites))


def plan(root, n_sites):
    write_project(root, n_sites)
    print("| plan of | jobs | models | would run | seconds | of CPU | peak memory, MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    measure(root, "a new study, nothing known of its files")
    measure(root, "a new study")
    write_finished(root)
    measure(root, "the finished study")
    (root / "studies/large.toml").write_text(study_text(n_sites, n_seeds=31))
    measure(root, "the finished study and a seed")


def part(root, n_epochs):
    from cortax.workflow.workload import read_study
    from cortax.workloads.sequences.baselines import predict_baselines
    from cortax.workloads.sequences.dataset import Dataset
    from cortax.workloads.sequences.networks import NetworkSize, initial_parameters
    from cortax.workloads.sequences.plan import dataset_options, site_options
    from cortax.workloads.sequences.reading import read_site
    from cortax.workloads.sequences.skill import skill
    from cortax.workloads.sequences.training import TrainingOptions, begin, predict, train, warm_up

    (root / "input").mkdir()
    (root / "large.toml").write_text(study_text(1))
    site = names_of(1)[0]
    write_site(root / f"input/{site}.csv", 0)
    study = read_study(root / "large.toml")
    warm_up(np.float32)
    clock = [time.process_time()]
    options = dataset_options(study, site, *study.sites.periods)
    dataset = Dataset(read_site(root, site_options(study, site)), options)
    predict_baselines(dataset, options)
    periods = {name: dataset.period(name, days, np.float32) for name, days in study.sites.periods.items()}
    clock.append(time.process_time())
    size = NetworkSize(dataset.n_inputs, study.network.hidden, 2)

    def models_of(n):
        weights = np.array([initial_parameters(size, seed) for seed in range(n)]).astype(np.float32)
        return begin(weights, np.ones((n, 2)))

    models = models_of(8)
    trained, _ = train(models, size, periods["train"].windows, None, TrainingOptions(n_epochs, rate=0.003, batch=10))
    clock.append(time.process_time())
    for period in (periods["validation"], periods["test"]):
        for outputs in predict(trained.best, size, period.windows.x, 8):
            daily = dataset.by_day(outputs, period).astype(np.float64)
            for k in range(2):
                skill(period.observed[:, k], daily[:, k])
    clock.append(time.process_time())
    of_site, of_training, of_scores = np.diff(clock)
    of_epoch = of_training / n_epochs / 8
    train(models_of(270), size, periods["train"].windows, None, TrainingOptions(1, rate=0.003, batch=10))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    n = N_SITES * 270
    hours = [N_SITES * of_site / 3600, n * 300 * of_epoch / 3600, n * of_scores / 8 / 3600]
    print(
        f"{periods['train'].windows.x.shape[1]} windows of 365 days, {size.n_inputs} inputs: {1e3 * of_epoch:.2f} CPU "
        f"ms a model and epoch, {of_site:.2f} CPU s a site, {of_scores / 8:.3f} CPU s to predict and score a model\n"
        f"EXTRAPOLATED to {n:,} models: sites {hours[0]:.2f}, training {hours[1]:.2f}, scores {hours[2]:.2f} CPU hours"
        f"\nPeak memory of this process, after 270 models of a site were trained by one epoch: {peak:.0f} MB"
    )


def noop(root, n_sites):
    write_project(root, n_sites)
    copy_code(root, study_text(n_sites), ("a_choose", "a_sequences_compare"), SHELL)
    try:
        measure_builds(root)
    finally:
        subprocess.run(cortax("down"), cwd=root, env=environment(root), check=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=["plan", "part", "noop"], default=["plan", "part", "noop"])
    parser.add_argument("--epochs", type=int, default=10, help="that a part is trained")
    parser.add_argument("--sites", type=int, default=N_SITES, help="of a plan, and of a build that has nothing to do")
    asked = parser.parse_args()
    for what in asked.what:
        root = Path(tempfile.mkdtemp(prefix="cx"))
        try:
            if what == "part":
                part(root, asked.epochs)
            else:
                {"plan": plan, "noop": noop}[what](root, asked.sites)
        finally:
            shutil.rmtree(root, ignore_errors=True)
        print(f"\n({os.cpu_count()} cores, load {os.getloadavg()[0]:.1f})\n", flush=True)


if __name__ == "__main__":
    main()
