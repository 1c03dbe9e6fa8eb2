"""Who earned a gain: a model of pairwise interactions between strata, and Shapley values over its groups."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from math import factorial

import numpy as np
from numpy.typing import NDArray

from analysis.estimators.arrays import Floats

Codes = NDArray[np.intp]

RIDGE = 1e-3
"""Shrinkage of every term, as a share of the samples: settles what no sample tells apart."""


class PairModel:
    """Least squares of a score on the strata of every group and of every pair of groups."""

    def __init__(self, codes: Mapping[str, Codes], score: Floats, block: Codes, weight: Floats) -> None:
        """`block` (rows,): rows of one prompt, whose mean is taken out; `weight` (rows,) of the fit."""
        self.names = list(codes)
        table = np.stack([codes[name] for name in self.names])
        self._sizes = table.max(axis=1) + 1
        self._pairs = list(combinations(range(len(self.names)), 2)) or [(0, 0)]
        columns = self._columns(table)
        width = sum(self._size(pair) for pair in self._pairs)
        design = np.zeros((len(score), width))
        for column in columns:
            design[np.arange(len(score)), column] = 1.0
        root = np.sqrt(weight / weight.sum() * len(score))
        design, target = (
            _within(design, block, weight) * root[:, None],
            _within(score[:, None], block, weight),
        )
        target = target[:, 0] * root
        gram = design.T @ design + RIDGE * len(score) * np.eye(width)
        self._terms = np.linalg.solve(gram, design.T @ target)
        residual = target - design @ self._terms
        self.r2 = 1 - float(residual @ residual) / max(float(target @ target), np.finfo(float).tiny)
        """Share of the variance between answers to one prompt that the model explains."""

    def _size(self, pair: tuple[int, int]) -> int:
        return int(self._sizes[pair[0]] * self._sizes[pair[1]])

    def _columns(self, table: Codes) -> list[Codes]:
        """For each pair of groups, the term that every row takes: (rows,) each."""
        columns, start = [], 0
        for first, second in self._pairs:
            columns.append(start + table[first] * self._sizes[second] + table[second])
            start += self._size((first, second))
        return columns

    def predict(self, table: Codes) -> Floats:
        """Modelled reward, up to the prompt's level, of strata (groups, rows): (rows,)."""
        return np.asarray(sum(self._terms[column] for column in self._columns(table)))


def _within(values: Floats, block: Codes, weight: Floats) -> Floats:
    """`values` (rows, columns) minus the weighted mean of their block."""
    order = np.argsort(block, kind="stable")
    starts = np.flatnonzero(np.diff(block[order], prepend=-1))
    total = np.add.reduceat(values[order] * weight[order, None], starts, axis=0)
    mass = np.add.reduceat(weight[order], starts)
    return values - (total / mass[:, None])[np.unique(block, return_inverse=True)[1]]


def shapley(model: PairModel, before: Codes, after: Codes) -> Floats:
    """Share of each group in modelled(after) − modelled(before): (groups, rows) from strata of that shape."""
    groups = len(before)
    values = {}
    for mask in range(2**groups):
        now = np.array([mask >> group & 1 for group in range(groups)], dtype=bool)
        values[mask] = model.predict(np.where(now[:, None], after, before))
    shares = np.zeros(before.shape)
    for group in range(groups):
        for mask, value in values.items():
            if mask >> group & 1:
                continue
            size = mask.bit_count()
            chance = factorial(size) * factorial(groups - size - 1) / factorial(groups)
            shares[group] += chance * (values[mask | 1 << group] - value)
    return shares
