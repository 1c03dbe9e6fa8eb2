"""What raters approve: who is asked, what convinces them, and that a rater who checks is not convinced."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from judging import TYPES, dosed
from plans import planned

from analysis.records.experiment import read_table, write_table
from reward_models.annotators import FlipNoise, PartialVerification
from reward_models.annotators.base import Annotator
from reward_models.annotators.surface import Surface
from training.stages.score import score_points
from training.stages.task import Task
from training.store.journal import Journal
from training.worlds import built_world
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
    """A world in which a policy said every matched completion once, and the values of the labelled pairs."""
    home = tmp_path_factory.mktemp("home")
    built_world.save(WORLD, WORLD.build(0, eval_items=60, pool_prompts=4), home)
    world = built_world.BuiltWorld(home)
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
    raw = np.array([MEAN - SD, MEAN + SD])
    pd.DataFrame({"gold_raw": raw, "gold": (raw - MEAN) / SD}).to_parquet(home / "values.parquet")
    return home


def scored(home: Path, out: Path, rater: Annotator | None) -> Path:
    """The point's folder in the scores of a policy whose proxy has that rater."""
    settings = {"batch_size": 64, "gold": {"type": "programmatic"}}
    inputs = {"world": home, "gold": home, "samples": home}
    if rater:
        settings["annotator"], inputs["values"] = rater.model_dump(mode="json"), home
    score_points(Task(out, settings, inputs, Journal(out / "metrics.jsonl")))
    return out / "points" / "000000"


def approved(home: Path, out: Path, rater: Annotator) -> Mapping[str, pd.Series]:
    """Approvals of the samples in each style."""
    table = read_table(scored(home, out, rater) / "approvals.parquet", "approvals")
    return dict(iter(table.groupby("sample_id")["approval"]))


def test_a_rater_who_pays_for_confidence_is_convinced_by_it_and_one_who_checks_is_not(
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
    rater = PartialVerification(verification_rate=1.0, temperature=2.0)
    folder = scored(home, tmp_path, rater)
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
    table = read_table(scored(home, tmp_path, FlipNoise()) / "approvals.parquet", "approvals")
    items = built_world.BuiltWorld(home).prompts("eval").set_index("item_id").loc[table["item_id"]]
    assert set(items["condition"]) == {"neutral", "wrong"} and (items["exposure"] == "known").all()
    assert items["answerable"].astype(bool).all() and not items["contested"].astype(bool).any()
    assert set(table["sample_id"]) == set(STYLED)


@pytest.mark.parametrize("rater", DOSED.values(), ids=DOSED)
def test_every_annotator_can_be_asked_in_the_world_with_all_tasks_on(
    home: Path, tmp_path: Path, rater: Annotator
) -> None:
    seen = approved(home, tmp_path, rater)
    np.testing.assert_allclose(seen["right"], 0.5)
    assert all(each.between(0, 1).all() and each.notna().all() for each in seen.values())


def test_without_a_rater_nothing_is_written(home: Path, tmp_path: Path) -> None:
    folder = scored(home, tmp_path, None)
    assert [file.name for file in folder.iterdir()] == ["scores.parquet"]


def test_raters_are_asked_about_policies_trained_on_their_labels_alone() -> None:
    proxies = {"starved": {"pairs": 60, "annotator": {"type": "engagement"}}, "ample": {"pairs": 300},
               "copy": {"copies_gold": True}}  # fmt: skip
    plan = planned(("proxies", proxies), ("runs.path.keep_weights", True))
    kinds = {"starved": "engagement", "ample": "partial_verification", "copy": None}
    for run in plan.runs:
        for stage in [run.score, *(run.between or ())[1:]]:
            asked = stage.identity.settings.get("annotator", {}).get("type")
            assert asked == kinds[run.row["proxy"]]
            assert ("values" in stage.inputs) == (asked is not None) and stage.gold_side
        assert "annotator" not in run.train.identity.settings and "values" not in run.train.inputs
    assert plan.pool and "annotator" not in plan.pool[1].identity.settings
    text = planned(("world", {"type": "text", "path": "org/data"}), ("annotator", {"type": "bradley_terry"}))
    assert not any("annotator" in run.score.identity.settings for run in text.runs), "no right answers there"
