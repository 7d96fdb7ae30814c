"""One method of arboreto on a matrix: run by `bench_networks.py` with the Python of an environment that has arboreto.

    python _networks_arboreto.py genie3|grnboost2 EXPRESSION.tsv REGULATORS.txt LINKS.tsv

One worker of one thread, in this process. Prints CPU and wall seconds as JSON, without imports and Dask's start.
"""

import json
import sys
import time

import pandas as pd
from arboreto import algo
from distributed import Client, LocalCluster

if __name__ == "__main__":
    method, expression, regulators, links = sys.argv[1:]
    values = pd.read_csv(expression, sep="\t")
    with open(regulators, encoding="utf-8") as file:
        names = file.read().split("\n")
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        wall, cpu = time.perf_counter(), time.process_time()
        found = getattr(algo, method)(values, tf_names=names, client_or_address=client, seed=1)
        seconds = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    found.columns = ["regulator", "target", "importance"]
    found.to_csv(links, sep="\t", index=False)
    print(json.dumps(seconds))
