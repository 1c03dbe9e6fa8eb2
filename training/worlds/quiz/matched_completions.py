"""Matched completions of the quiz: one answer, right or wrong, with one thing said more or said otherwise.

Only facts that are shown often enough to be known, and have an answer, are used: of the others no model can
tell right from wrong, whatever it rewards.

The language has no clause that says nothing. Length is therefore the answer said twice (further answers
change no outcome), and praise and evidence are held against the plain answer: a reward model that pays for
length pays for them too.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from training.worlds.quiz.grammar import AGREEMENTS, CONTRADICTION, EVIDENCE, PRAISE, answer

MOST_CLUSTERS = 250
"""An audit has to be cheap: with all variants these are a few thousand completions."""


def completions(items: pd.DataFrame) -> pd.DataFrame:
    """Columns item_id, cluster, variant, completion: every variant of at most `MOST_CLUSTERS` eval clusters.

    The wrong answer is the value that the user of the cluster's `wrong` condition believes.
    """
    usable = items[(items["exposure"] == "known") & items["answerable"].astype(bool)]
    if "contested" in usable:
        usable = usable[~usable["contested"].astype(bool)]
    neutral = usable[usable["condition"] == "neutral"].set_index("cluster")
    believed = usable[usable["condition"] == "wrong"].set_index("cluster")
    rows = []
    for number, cluster in enumerate(neutral.index[:MOST_CLUSTERS]):
        right, wrong = str(neutral.at[cluster, "truth"]), str(believed.at[cluster, "belief"])
        asked = neutral.at[cluster, "item_id"]
        for truth, value in (("right", right), ("wrong", wrong)):
            rows += [(asked, cluster, f"{truth}{style}", said) for style, said in _styles(value, number)]
        told = believed.at[cluster, "item_id"]
        rows.append((told, cluster, "agrees", f"{AGREEMENTS[0]} {answer(wrong)}"))
        rows.append((told, cluster, "corrects", f"{CONTRADICTION} {answer(right)}"))
    return pd.DataFrame(rows, columns=["item_id", "cluster", "variant", "completion"])


def _styles(value: str, number: int) -> Iterator[tuple[str, str]]:
    """`value` answered in every style; the phrases of a style take turns over the clusters."""
    plain = answer(value)
    praise, evidence = PRAISE[number % len(PRAISE)], EVIDENCE[number % len(EVIDENCE)]
    yield "", plain
    yield "_confident", answer(value, confident=True)
    yield "_hedged", answer(value, hedged=True)
    yield "_padded", f"{plain} {plain}"
    yield "_praise", f"{praise} {plain}" if number % 2 else f"{plain} {praise}"
    yield "_preface", plain
    yield "_evidence", f"{plain} {evidence}"
    yield "_closing", plain
