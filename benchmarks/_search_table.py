"""The table of `bench_search.py`, from its records."""

from __future__ import annotations

COLUMNS = (
    "pipeline, task, N, p, targets, naive s/fit, best s/fit, peers s/fit, tight s/fit, cortax s/fit, naive : cortax,"
    " best : cortax, difference naive, difference cortax, excess naive, excess cortax, iterations,"
    " not converged naive, not converged cortax, refit naive : cortax s"
).split(", ")
NUMBERS_FROM = 2
KNOWN = ("naive", "best", "cortax")


def print_table(records, *, header=True):
    """Print records as a Markdown table, by pipeline, task and shape."""
    if header:
        print("| " + " | ".join(COLUMNS) + " |")
        print("|" + "".join(" --- |" if i < NUMBERS_FROM else " ---: |" for i in range(len(COLUMNS))))
    for record in sorted(records, key=lambda r: (r["pipeline"], r["task"], r["n"], r["p"], r["own_rows"])):
        print("| " + " | ".join(_row(record)) + " |", flush=True)


def _row(record):
    naive, best, ours = (record.get(name, {}) for name in KNOWN)
    peers = [f"{name} {_number(found['seconds'])}" for name, found in record.items() if _is_peer(name, found)]
    peers += [f"{name} not installed" for name in record["missing"]]
    targets = f"{record['n_targets']}{' (own rows)' if record['own_rows'] else ''}"
    refit = record.get("refit", {})
    return [
        record["pipeline"],
        record["task"],
        str(record["n"]),
        str(record["p"]),
        targets,
        f"{_number(naive['seconds'])} +- {_number(naive['error'])} ({naive['n_timed']})",
        _number(best.get("seconds")),
        ", ".join(peers) or "-",
        _number(record["tight"]),
        _number(ours.get("seconds")),
        _ratio(naive, ours),
        _ratio(best, ours),
        f"{_worst(naive, 'difference')} ({record['n_references']})",
        _worst(ours, "difference"),
        _worst(naive, "excess"),
        _worst(ours, "excess"),
        _number(ours.get("iterations")),
        f"{naive['not_converged']} of {naive['n_timed']}",
        _not_converged(record, ours),
        f"{_number(refit.get('naive'))} : {_number(refit.get('cortax'))}",
    ]


def _is_peer(name, found):
    return isinstance(found, dict) and "seconds" in found and name not in KNOWN


def _number(value):
    return "-" if value is None or value != value else f"{value:.2g}"


def _worst(found, name):
    return f"{_number(found[name])}, {_number(found['median_' + name])}" if name in found else "-"


def _ratio(other, ours):
    if "seconds" not in other or "seconds" not in ours:
        return "-"
    ratio = other["seconds"] / ours["seconds"]
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}"


def _not_converged(record, ours):
    if not ours:
        return "-"
    n_fits = record["n_targets"] * record["n_configs"] * record["n_inner"]
    failed = f", {ours['failures']} failed" if ours["failures"] else ""
    return f"{ours['not_converged']} of {n_fits}{failed}"
