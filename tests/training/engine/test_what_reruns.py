"""A changed setting reruns what it decides, and nothing beside it."""

from __future__ import annotations

from collections import Counter

import pytest
from experiments import planned

from training.config.proxy import Proxy


def reruns(*overrides: str, base: tuple[str, ...] = ()) -> Counter[str]:
    """Kind → number of stages that have to run after `base` was run."""
    have = {stage.key for stage in planned(*base).stages}
    return Counter(stage.kind for stage in planned(*base, *overrides).stages if stage.key not in have)


def kinds(*names: str) -> set[str]:
    return set(names)


def test_without_the_pool_nothing_runs() -> None:
    assert not reruns("best_of_n=null")


def test_prompts_of_the_pool_rerun_the_pool_and_its_scores() -> None:
    """Gold, oracle and two proxies score it."""
    assert reruns("best_of_n.prompts=20") == {"prompts": 1, "pool": 1, "scores": 4}


def test_samples_of_the_pool_rerun_the_pool_and_its_scores() -> None:
    assert reruns("best_of_n.samples=20") == {"pool": 1, "scores": 4}


def test_evaluation_items_rerun_what_samples_or_scores_them() -> None:
    found = reruns("measure.items=30")
    assert found.keys() == kinds("prompts", "policy", "scores", "approvals", "reference", "audit")
    assert found["policy"] == 3 and found["scores"] == 3 * 3 + 2


def test_reference_samples_rerun_these_alone() -> None:
    assert reruns("measure.reference_samples=10") == {"reference": 1, "scores": 2}


@pytest.mark.parametrize("share", ["false", "true"])
def test_more_replicates_leave_the_first_alone(share: str) -> None:
    """Each new one brings its own proxy, card, audit and policies (a path, a budget); the first proxy's
    policies are scored by all."""
    base = (f"+proxies.starved.share_pairs={share}",)
    found = reruns("proxies.starved.seeds=3", base=base)
    assert (found["proxy"], found["card"], found["audit"], found["policy"]) == (2, 2, 2, 4)
    assert found["scores"] == 4 * 5 + 2 * 2 + 2
    assert (found["pairs"], found["values"], found["labels"]) == (
        (2, 2, 2) if share == "false" else (0, 0, 0)
    )


def test_a_larger_sibling_touches_nobody_else() -> None:
    assert reruns("proxies.ample.pairs=900") == {
        **dict.fromkeys(("labels", "proxy", "card", "audit", "policy", "approvals"), 1),
        "pairs": 2,
        "values": 2,
        "scores": 3 + 1,
    }


def test_a_siblings_replicates_touch_nobody_else() -> None:
    before, after = planned(), planned("proxies.ample.seeds=4")
    assert {s.key for s in before.stages} <= {s.key for s in after.stages}


def test_one_proxy_more_costs_one_scoring() -> None:
    """It is nobody's to optimise, so it is scored on the pool and on the matched completions alone."""
    runs = ("runs.path.proxies=[starved,ample]",)
    found = reruns("+proxies.third={pairs: 50, model: ${proxies.starved.model}}", base=runs)
    assert found == {"labels": 1, "proxy": 1, "card": 1, "scores": 1, "audit": 1}


def test_chosen_pairs_are_chosen_from_whole_chunks() -> None:
    plain = planned("pair_chunk=50")
    labels = next(s for s in plain.stages if s.title == "labels starved/0")
    assert [name for name in labels.inputs if name.startswith("pairs/")] == ["pairs/0", "pairs/1"]


def test_replicates_are_independent_unless_they_share() -> None:
    own, shared = Proxy(pairs=9, seeds=3), Proxy(pairs=9, seeds=3, share_pairs=True)
    assert [tuple(each) for each in own.replicates] == [(0, 0, 0), (1, 1, 1), (2, 2, 2)]
    assert [tuple(each) for each in shared.replicates] == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]
    assert Proxy(pairs=9, seeds=5).replicates[:3] == own.replicates


@pytest.mark.parametrize("setting", ["policy.learning_rate=2e-3", "policy.steps=9"])
def test_a_setting_of_the_policy_reruns_policies_and_their_scores(setting: str) -> None:
    assert reruns(setting).keys() <= kinds("policy", "scores", "approvals")
