"""The fitted laws of the gold curves as rows to draw, with their bootstrap bands."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.figures.drawing.path_rows import COLUMNS
from analysis.figures.drawing.plot import Material
from analysis.records.way import POOL


def law_rows(material: Material) -> pd.DataFrame:
    """Rows (`COLUMNS`) with ``quantity`` "law" for every law fitted to gold, over its points' range."""
    bands, fits = material.tables.fit_bands, material.tables.fits
    if bands.empty:
        return pd.DataFrame(columns=COLUMNS)
    gold = fits.loc[fits["score"] == "gold", ["curve", "method", "proxy", "law"]]
    gold = gold.assign(method=gold["method"].mask(gold["law"] == "best_of_n", str(POOL)))
    rows = bands.merge(gold, on="curve", validate="many_to_one")
    pairs = material.tables.runs.drop_duplicates("proxy").set_index("proxy")["proxy_pairs"]
    rows = rows.rename(columns={"d": "distance", "law": "run_id"})
    return rows.assign(quantity="law", step=np.nan, proxy_pairs=rows["proxy"].map(pairs))[COLUMNS]
