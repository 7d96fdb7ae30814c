"""Networks of genes: cortax's forests against scikit-learn's loop and arboreto, in one run on one matrix.

    python benchmarks/bench_networks.py forests [--expression FILE --gold FILE] [--regulators FILE] [--n-trees T]
        [--loop-genes N] [--seeds S] [--arboreto-python PYTHON]
    python benchmarks/bench_networks.py links [--genes N] [--k K] [--zeros SHARE]

`forests` prints CPU and wall seconds of one thread with AUROC and AUPR beside them. The loop is a scikit-learn forest
for each gene; with `--loop-genes` it is timed on so many genes, spread evenly, and scaled up to all. By default the
matrix is that of portia-grn's 100 simulated genes. arboreto, which always grows 1,000 trees for GENIE3, needs old
packages, in an environment of its own: `pip install -r benchmarks/requirements-arboreto.txt`.

`links` streams simulated importances of N x N links, and prints seconds and the peak of memory.
"""

import argparse
import json
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import _one_thread  # noqa: F401  (first: one thread a process)
import numpy as np
import pandas as pd

from cortax.data.packages import FOLDER, fetch
from cortax.workloads.network.expression import read_expression
from cortax.workloads.network.forests import ForestOptions, Regulators, gene_importances, gene_seed
from cortax.workloads.network.links import TopLinks
from cortax.workloads.network.reference import reference_importances
from cortax.workloads.network.truth import find_candidates, network_scores, read_gold_standard

ROOT = Path(__file__).resolve().parents[1]
PORTIA = ROOT / FOLDER / "portia"


def seconds_of(work):
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, time.process_time() - cpu, time.perf_counter() - wall


def table_of(found, regulators):
    """Return the links of importances by gene."""
    top = TopLinks(max(1, len(found) * len(regulators)), regulators)
    for gene, importances in found.items():
        top.add(gene, importances)
    return top.links()


def ours(expression, regulators, options):
    columns = [expression.genes.index(name) for name in regulators]
    shared = Regulators.prepare(expression.values[:, columns], regulators)
    return {
        gene: gene_importances(shared, gene, values, options)
        for gene, values in zip(expression.genes, expression.values.T, strict=True)
    }


def loop(expression, regulators, options, n_genes):
    columns = [expression.genes.index(name) for name in regulators]
    X, found = expression.values[:, columns], {}
    for number in np.unique(np.linspace(0, len(expression.genes) - 1, n_genes).astype(int)):
        gene = expression.genes[number]
        own = regulators.index(gene) if gene in regulators else None
        y = expression.values[:, number]
        found[gene] = reference_importances(X, own, y, options, seed=gene_seed(gene, options))
    return found


def arboreto(python, method, expression, regulators):
    with tempfile.TemporaryDirectory() as folder:
        matrix, names, links = (Path(folder) / name for name in ("matrix.tsv", "regulators.txt", "links.tsv"))
        pd.DataFrame(expression.values, columns=expression.genes).to_csv(matrix, sep="\t", index=False)
        names.write_text("\n".join(regulators), encoding="utf-8")
        script = str(Path(__file__).with_name("_networks_arboreto.py"))
        command = [python, "-W", "ignore", script, method, matrix, names, links]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        told = json.loads(done.stdout.splitlines()[-1])
        return pd.read_csv(links, sep="\t"), told["cpu"], told["wall"]


def forests(args):
    fetch(ROOT, "portia-grn")
    expression = read_expression(args.expression or PORTIA / "dataset1.expression.txt")
    gold = args.gold or (None if args.expression else PORTIA / "dataset1.goldstandard.txt")
    gold = read_gold_standard(gold) if gold else None
    regulators = expression.genes
    if args.regulators:
        regulators = tuple(Path(args.regulators).read_text(encoding="utf-8").split())
    print(f"{len(expression.samples)} samples, {len(expression.genes)} genes, {len(regulators)} regulators")
    base = None

    def show(name, links, cpu, wall):
        scores = (
            network_scores(find_candidates(links, gold, regulators=regulators, targets=expression.genes))
            if gold
            else None
        )
        told = f"{scores.auroc:.4f}  {scores.aupr:.4f}" if scores else "     -       -"
        print(f"{name:44s} {cpu:9.2f} {wall:9.2f} {base / cpu:8.1f}  {told}", flush=True)
        return scores

    print(f"{'':44s} {'CPU s':>9s} {'wall s':>9s} {'ratio':>8s}  {'AUROC':>6s}  {'AUPR':>6s}")
    for method in ("forest", "extra_trees"):
        options = ForestOptions(method, n_trees=args.n_trees)
        n_genes = min(args.loop_genes or len(expression.genes), len(expression.genes))
        found, cpu, wall = seconds_of(lambda: loop(expression, regulators, options, n_genes))  # noqa: B023
        scale, whole = len(expression.genes) / len(found), len(found) == len(expression.genes)
        base = cpu * scale if base is None else base
        name = f"scikit-learn loop, {method}" + ("" if whole else f" (of {len(found)} genes)")
        if whole:
            show(name, table_of(found, regulators), cpu, wall)
        else:
            print(f"{name:44s} {cpu * scale:9.2f} {wall * scale:9.2f} {base / cpu / scale:8.1f}       -       -")
    for method in ("forest", "extra_trees", "grnboost", "lightgbm"):
        options = ForestOptions(method, n_trees=args.n_trees)
        # Compiled code is there before, as it is in every study but the first.
        ours_once(expression, options)
        found, cpu, wall = seconds_of(lambda: ours(expression, regulators, options))  # noqa: B023
        show(f"cortax, {method}", table_of(found, regulators), cpu, wall)
    for method in ("genie3", "grnboost2") if args.arboreto_python else ():
        show(f"arboreto, {method}", *arboreto(args.arboreto_python, method, expression, regulators))
    if gold and args.seeds > 1:
        spread(expression, regulators, gold, args)


def ours_once(expression, options):
    shared = Regulators.prepare(expression.values[:, :2], expression.genes[:2])
    gene_importances(shared, "", expression.values[:, 2], ForestOptions(options.method, n_trees=1))


def spread(expression, regulators, gold, args):
    """How much chance there is in the scores: over seeds, of cortax's forest."""
    found = []
    for seed in range(args.seeds):
        links = table_of(ours(expression, regulators, ForestOptions(n_trees=args.n_trees, seed=seed)), regulators)
        scores = network_scores(find_candidates(links, gold, regulators=regulators, targets=expression.genes))
        found.append((scores.auroc, scores.aupr))
    for name, values in zip(("AUROC", "AUPR"), zip(*found, strict=True), strict=True):
        print(f"{name} of cortax, forest, over {args.seeds} seeds: {np.mean(values):.4f}, SD {np.std(values):.4f}")
    print(f"chance: AUROC 0.5, AUPR {scores.aupr_of_chance:.4f}")


def links(args):
    names = tuple(f"gene-{i:05d}" for i in range(args.genes))
    rng, top = np.random.default_rng(0), TopLinks(args.k, names)
    spent, started = 0.0, time.perf_counter()
    for name in names:
        importances = rng.random(args.genes)
        importances[importances < args.zeros] = 0
        begun = time.perf_counter()
        top.add(name, importances)
        spent += time.perf_counter() - begun
    begun = time.perf_counter()
    found = top.links()
    spent += time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"the {len(found):,} strongest of {args.genes:,} x {args.genes:,} links, {args.zeros:.2%} of them 0: "
        f"{spent:.1f} s to keep them (with the simulation {time.perf_counter() - started:.1f} s), "
        f"peak of memory {peak:.0f} MiB in all"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parts = parser.add_subparsers(required=True)
    part = parts.add_parser("forests")
    part.set_defaults(run=forests)
    part.add_argument("--expression")
    part.add_argument("--gold")
    part.add_argument("--regulators")
    part.add_argument("--n-trees", type=int, default=1000)
    part.add_argument("--loop-genes", type=int)
    part.add_argument("--seeds", type=int, default=5)
    part.add_argument("--arboreto-python")
    part = parts.add_parser("links")
    part.set_defaults(run=links)
    part.add_argument("--genes", type=int, default=49_000)
    part.add_argument("--k", type=int, default=1_000_000)
    part.add_argument("--zeros", type=float, default=0.9)
    arguments = parser.parse_args()
    arguments.run(arguments)
