"""Four gauges of the river Lahn as tables of sites, from the files that HydPy comes with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cortax.errors import InputError
from cortax.store import write_whole

__all__ = ["write_rivers"]


@dataclass(frozen=True)
class _Gauge:
    """Its name in HydPy's files, and the site whose flow is the second target of its table."""

    gauge: str
    neighbour: str


_GAUGES = {
    "marburg": _Gauge("lahn_marb", "leun"),
    "asslar": _Gauge("dill_assl", "leun"),
    "leun": _Gauge("lahn_leun", "kalkofen"),
    "kalkofen": _Gauge("lahn_kalk", "leun"),
}
_COLUMNS = {
    "precipitation": "land_{}_hland_96_input_p",
    "temperature": "land_{}_hland_96_input_t",
    "evaporation": "land_{}_evap_pet_hbv96_input_normalevapotranspiration",
    "flow": "{}_obs_q",
}
_BEGIN = re.compile(r'Timegrid\("(\d{4}-\d{2}-\d{2}) ')


def write_rivers(source: Path, folder: Path) -> list[Path]:
    """Write a table for each gauge: `date`, `precipitation` (mm), `temperature` (deg C), `evaporation` (mm, the normal
    of the time of the year), `flow` (m3/s) and `neighbour_flow`, that of the next gauge.

    Parameters
    ----------
    source : Path
        The files of HydPy (`cortax.data.packages`).
    folder : Path
        Made where it is not there; a table that is there and the same is left alone.

    Raises
    ------
    InputError
        A file is not a daily series of HydPy.
    """
    series = {
        site: {name: _read(source / f"{file.format(gauge.gauge)}.asc") for name, file in _COLUMNS.items()}
        for site, gauge in _GAUGES.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for site, gauge in _GAUGES.items():
        table = pd.DataFrame({**series[site], "neighbour_flow": series[gauge.neighbour]["flow"]})
        content = table.to_csv(index_label="date", lineterminator="\n")
        path = folder / f"{site}.csv"
        if not path.is_file() or path.read_text() != content:
            write_whole(path, content)
        written.append(path)
    return written


def _read(path: Path) -> pd.Series[float]:
    lines = path.read_text().splitlines()
    begin = _BEGIN.match(lines[0]) if lines else None
    if begin is None or len(lines) < 4 or '"1d")' not in lines[2]:
        raise InputError(f"{path}: must begin with the Timegrid of a daily series of HydPy")
    values = [float(line) for line in lines[3:] if line.strip()]
    days = pd.date_range(begin[1], periods=len(values)).strftime("%Y-%m-%d")
    return pd.Series(values, index=days)
