"""What annotators approve: who is asked, what convinces them, and that one who checks is not convinced."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn_worlds import drawn, inputs, opened, save
from judging import TYPES, dosed
from plans import planned

from analysis.records.experiment import read_table, write_table
from reward_models.annotators import FlipNoise, PartialVerification
from reward_models.annotators.base import Annotator
from reward_models.annotators.surface import Surface
from training.engine.stage import Scored
from training.follow.points import add_point
from training.sampling.line import Line
from training.stages.point_table import tabulate
from training.stages.score import score_points
from training.stages.task import Task
from training.store.journal import Journal
from training.worlds.quiz import QuizWorld

WORLD = QuizWorld.model_validate(
    {
        "facts": {"entities": 8, "relations": 2, "values": 5, "unanswerable": 0.2},
        "counts": {"demonstrations": 200, "gold": 10, "pairs": 10, "policy": 10},
        "stances": {"stance_rate": 0.4, "third_party_rate": 0.1},
        "tasks": {
            "challenge_rate": 0.1, "authored_rate": 0.1, "test_rate": 0.1, "hat_rate": 0.05,
            "race_rate": 0.1, "oversight_rate": 0.8, "contested_relations": 1,
        },
    }
)  # fmt: skip
MEAN, SD = -0.4, 0.7
"""Of gold on the labelled pairs: what standardises it."""
STYLED = ("right", "right_confident", "wrong", "wrong_confident", "wrong_evidence", "agrees")
KEY = ["item_id", "sample_id"]
DOSED = dict(zip(TYPES, dosed(0.6), strict=True))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world in which a policy said every matched completion once, and the line of the labelled pairs."""
    home = tmp_path_factory.mktemp("home")
    world = save(WORLD, drawn(WORLD, 0, eval_items=60, pool_prompts=4), home)
    items = world.prompts("eval")
    said = WORLD.matched_completions(items)
    said = said[said["variant"].isin(STYLED)].reset_index(drop=True)
    rest = items.loc[~items["item_id"].isin(set(said["item_id"])), ["item_id"]]
    said = pd.concat([said, rest.assign(variant="silent", completion="i do not know .")], ignore_index=True)
    length = said["completion"].str.split().str.len() + 1
    samples = said.assign(sample_id=said["variant"], length=length, finished=True)
    samples["ids"] = [[*world.tokenizer()(text)["input_ids"], 1] for text in samples["completion"]]
    samples = samples.assign(**dict.fromkeys(("logp", "logp_ref", "kl", "k1", "k2", "k3", "kl_reverse"), 0.0))
    folder = home / "points" / "000000"
    write_table(folder / "samples.parquet", samples, "samples")
    outcomes = world.outcomes(samples, items).sample(frac=1, random_state=0)
    write_table(folder / "outcomes.parquet", outcomes, "outcomes")
    Line.of("gold", np.array([MEAN - SD, MEAN + SD])).write(home)
    return home


def asked(home: Path, out: Path, annotator: Annotator) -> Path:
    """The point's folder in the records of a policy whose proxy has that annotator."""
    settings: dict[str, Any] = {"batch_size": 64, "gold": {"type": "programmatic"}}
    given = {**inputs(home), "gold": home, "samples": home}
    out = Path(mkdtemp(dir=out))
    journal = Journal(out / "metrics.jsonl")
    settings["scorer"] = "gold"
    score_points(Task(out / "scores", settings, given, journal))
    given |= {"line": home, "scores": out / "scores"}
    settings |= {"annotator": annotator.model_dump(mode="json"), "table": {"type": "approvals"}}
    tabulate(Task(out / "approvals", settings, given, journal))
    name = "points/000000"
    add_point(home / name, [out / "scores" / name, out / "approvals" / name], out / name)
    return out / name


def approved(home: Path, out: Path, annotator: Annotator) -> Mapping[str, pd.Series]:
    """Approvals of the samples in each style."""
    table = read_table(asked(home, out, annotator) / "approvals.parquet", "approvals")
    return dict(iter(table.groupby("sample_id")["approval"]))


def test_an_annotator_who_pays_for_confidence_is_convinced_by_it_and_one_who_checks_is_not(
    home: Path, tmp_path: Path
) -> None:
    surface = Surface(agreement=0.0, confidence=3.0)
    lazy = approved(home, tmp_path, PartialVerification(verification_rate=0.0, surface=surface))
    for style in ("wrong_confident", "right_confident"):
        np.testing.assert_allclose(lazy[style], 1 / (1 + np.exp(-3.0)))
    for style in ("right", "wrong", "wrong_evidence"):
        np.testing.assert_allclose(lazy[style], 0.5)
    careful = PartialVerification(verification_rate=1.0, temperature=0.2, surface=surface)
    seen = approved(home, tmp_path, careful)
    assert (seen["wrong_confident"] < 0.05).all() and (seen["right"] == 0.5).all()
    half = PartialVerification(verification_rate=0.5, temperature=1.0, surface=surface)
    between = approved(home, tmp_path, half)["wrong_confident"]
    assert (between > 0.45).all() and (between < lazy["wrong_confident"].min()).all()


def test_value_is_what_it_was_when_the_pairs_were_labelled(home: Path, tmp_path: Path) -> None:
    """P = sigmoid(margin in s.d. of gold on the labelled pairs / temperature), whatever these samples are."""
    annotator = PartialVerification(verification_rate=1.0, temperature=2.0)
    folder = asked(home, tmp_path, annotator)
    scores = read_table(folder / "scores.parquet", "scores")
    gold = scores[scores["scorer"] == "gold"].set_index(KEY)["value"]
    approvals = read_table(folder / "approvals.parquet", "approvals").set_index(KEY)["approval"]
    right = gold.xs("right", level="sample_id")
    margin = gold - right.reindex(gold.index.get_level_values("item_id")).to_numpy()
    want = 1 / (1 + np.exp(-margin.dropna() / SD / 2.0))
    plain = approvals[approvals.index.get_level_values("sample_id") != "agrees"]
    pd.testing.assert_series_equal(plain, want, check_names=False)
    assert approvals.nunique() > 2


def test_only_prompts_with_a_known_right_answer_and_at_most_a_belief_are_asked_about(
    home: Path, tmp_path: Path
) -> None:
    table = read_table(asked(home, tmp_path, FlipNoise()) / "approvals.parquet", "approvals")
    items = opened(home).prompts("eval").set_index("item_id").loc[table["item_id"]]
    assert set(items["condition"]) == {"neutral", "wrong"} and (items["exposure"] == "known").all()
    assert items["answerable"].astype(bool).all() and not items["contested"].astype(bool).any()
    assert set(table["sample_id"]) == set(STYLED)


@pytest.mark.parametrize("annotator", DOSED.values(), ids=DOSED)
def test_every_annotator_can_be_asked_in_the_world_with_all_tasks_on(
    home: Path, tmp_path: Path, annotator: Annotator
) -> None:
    seen = approved(home, tmp_path, annotator)
    np.testing.assert_allclose(seen["right"], 0.5)
    assert all(each.between(0, 1).all() and each.notna().all() for each in seen.values())


def test_where_no_right_answer_is_known_nobody_is_asked(home: Path, tmp_path: Path) -> None:
    nothing = WORLD.matched_completions(opened(home).prompts("eval")).iloc[:0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QuizWorld, "matched_completions", lambda *_: nothing)
        folder = asked(home, tmp_path, FlipNoise())
    written = {file.stem for file in folder.iterdir()}
    assert written == {"samples", "outcomes", "scores"}


def asks(scores: Scored) -> list[str]:
    """Types of the annotators that are asked about samples."""
    return [stage.settings["annotator"]["type"] for stage in scores.scores if stage.kind == "approvals"]


def test_annotators_are_asked_about_policies_trained_on_their_labels_alone() -> None:
    proxies = {"starved": {"pairs": 60, "annotator": {"type": "engagement"}}, "ample": {"pairs": 300},
               "copy": {"copies_gold": True}}  # fmt: skip
    plan = planned(("proxies", proxies), ("runs.path.keep_weights", True))
    kinds = {"starved": ["engagement"], "ample": ["partial_verification"], "copy": []}
    for run in plan.runs:
        for scored in filter(None, (run.points, run.between)):
            assert asks(scored) == kinds[run.row["proxy"]]
            for stage in scored.scores:
                assert ("line" in stage.inputs) == (stage.kind == "approvals") <= stage.gold_side
        assert "annotator" not in run.train.settings and not {"values", "line"} & set(run.train.inputs)
    assert plan.pool and plan.reference and not asks(plan.pool) and not asks(plan.reference)
    text = planned(("world", {"type": "text", "path": "org/data"}), ("annotator", {"type": "bradley_terry"}))
    assert text.runs and not any(asks(run.points) for run in text.runs), "no right answers there"
