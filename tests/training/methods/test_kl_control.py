"""How KL is spent: when points are due, when a run ends, and a controller that reaches its target."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from training.methods.kl_control import AnyControl, KLController, PathControl, Penalty, Schedule, Target


def run(schedule: Schedule, kls: list[float], first: int = 1) -> tuple[list[int], int]:
    """Steps with a point, and the step after which the run ended (or the last that was made)."""
    due = []
    for step, kl in enumerate(kls, first):
        now, last = schedule.after(step, kl)
        due += [step] * now
        if last:
            return due, step
    return due, step


# --- schedules --------------------------------------------------------------------------------------


def test_a_path_is_measured_at_each_crossing_and_ends_at_the_last() -> None:
    schedule = Schedule(PathControl(kl=(0.1, 0.5, 2.0)), steps=100)
    assert run(schedule, [0.0, 0.05, 0.1, 0.2, 0.4, 0.7, 1.9, 2.3, 3.0]) == ([3, 6, 8], 8)


def test_a_crossing_counts_once_however_often_kl_falls_back() -> None:
    schedule = Schedule(PathControl(kl=(0.1, 0.5)), steps=100)
    assert run(schedule, [0.2, 0.05, 0.2, 0.0, 0.3, 0.45]) == ([1], 6)


def test_several_crossings_in_one_step_are_one_point() -> None:
    assert run(Schedule(PathControl(kl=(0.1, 0.5, 2.0)), steps=100), [0.9, 0.9, 2.0]) == ([1, 3], 3)


def test_a_path_that_stays_short_of_its_grid_ends_with_its_steps_and_is_measured_there() -> None:
    assert run(Schedule(PathControl(kl=(0.1, 5.0)), steps=4), [0.0, 0.2, 0.2, 0.3, 0.3]) == ([2, 4], 4)


@pytest.mark.parametrize("kl", [-0.3, math.nan])
def test_kl_that_is_negative_or_missing_crosses_nothing(kl: float) -> None:
    assert run(Schedule(PathControl(kl=(0.1,)), steps=9), [kl] * 3) == ([], 3)


@pytest.mark.parametrize("control", [Penalty(points=1), Target(points=1)])
def test_points_of_a_run_of_fixed_length_are_even(control: AnyControl) -> None:
    for steps in (*range(1, 60), 80, 150, 997):
        for points in range(1, min(steps, 25) + 1):
            schedule = Schedule(control.model_copy(update={"points": points}), steps)
            due, ended = run(schedule, [9.0] * (steps + 5))
            assert ended == steps == due[-1]
            assert len(due) == points
            gaps = np.diff([0, *due])
            assert gaps.max() - gaps.min() <= 2, (steps, points, due)


def test_more_points_than_steps_measures_every_step() -> None:
    assert run(Schedule(Penalty(points=10), steps=4), [0.0] * 4) == ([1, 2, 3, 4], 4)


def test_a_restored_schedule_goes_on_as_if_nothing_had_happened() -> None:
    kls, control = [0.05, 0.2, 0.6, 0.1, 0.7, 2.5], PathControl(kl=(0.1, 0.5, 2.0))
    whole = run(Schedule(control, 50), kls)
    first, second = Schedule(control, 50), Schedule(control, 50)
    before, _ = run(first, kls[:3])
    second.restore(json.loads(json.dumps(first.state())))
    after, ended = run(second, kls[3:], first=4)
    assert (before + after, ended) == whole


# --- the controller ---------------------------------------------------------------------------------


def plant(
    controller: KLController, steps: int, *, drive: float = 0.05, noise: float = 0.0, seed: int = 0
) -> Iterator[tuple[float, float]]:
    """(KL, β) of a policy that reward pushes outwards and β pulls back, both in √KL: dd = drive − βd/10.

    Its KL settles where d = 10·drive/β, and gets there slowly, like that of a policy.
    """
    rng = np.random.default_rng(seed)
    distance, beta = 0.0, controller.control.initial_beta
    for _ in range(steps):
        kl = distance**2 * math.exp(noise * rng.standard_normal())
        beta = controller.update(kl)
        distance += drive - min(1.0, beta / 10) * distance
        yield kl, beta


@pytest.mark.parametrize("budget", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("drive", [0.05, 0.15])
def test_kl_is_driven_to_its_budget_and_held_there(budget: float, drive: float) -> None:
    controller = KLController(Target(), budget, steps=150)
    kls = [kl for kl, _ in plant(controller, 150, drive=drive, noise=0.2)]
    assert np.mean(kls[-30:]) == pytest.approx(budget, rel=0.25)
    assert max(kls) < 2 * budget


def test_the_set_point_rises_evenly_in_root_kl() -> None:
    controller = KLController(Target(ramp=0.5), budget=4.0, steps=100)
    roots = []
    for _ in range(100):
        roots.append(math.sqrt(controller.set_point()))
        controller.update(1.0)
    assert np.diff(roots[:50]) == pytest.approx(2 / 50)
    assert roots[49:] == pytest.approx([2.0] * 51)


def test_beta_rises_when_kl_is_above_the_set_point_and_falls_when_below() -> None:
    above, below = (KLController(Target(ramp=0), budget=1.0, steps=10) for _ in range(2))
    initial = Target().initial_beta
    assert above.update(2.0) > initial > below.update(0.5) > 0


@pytest.mark.parametrize("kl", [0.0, -0.2, 1e9])
def test_beta_stays_a_finite_positive_number(kl: float) -> None:
    controller = KLController(Target(), budget=1.0, steps=50)
    betas = [controller.update(kl) for _ in range(2000)]
    assert all(math.isfinite(beta) and beta > 0 for beta in betas)


@pytest.mark.parametrize(("stuck", "released"), [(50.0, 0.2), (0.0, 3.0)])
def test_a_long_time_off_target_is_forgotten_as_fast_as_a_short_one(stuck: float, released: float) -> None:
    """No wind-up: β that could not help for 5000 steps recovers as soon as after 100."""

    def recovery(off: int) -> int:
        controller = KLController(Target(), budget=1.0, steps=10)
        for _ in range(off):
            controller.update(stuck)
        for step in range(500):
            beta = controller.update(released)
            if (beta < 0.1) == (released < 1):
                return step
        raise AssertionError("β never recovered")

    assert recovery(5000) == recovery(100) < 60


def test_a_restored_controller_gives_the_same_betas() -> None:
    kls = np.random.default_rng(0).exponential(1.0, size=40).tolist()
    whole, first, second = (KLController(Target(), 1.0, 40) for _ in range(3))
    betas = [whole.update(kl) for kl in kls]
    before = [first.update(kl) for kl in kls[:17]]
    second.restore(json.loads(json.dumps(first.state())))
    assert before + [second.update(kl) for kl in kls[17:]] == betas


# --- settings ---------------------------------------------------------------------------------------


def control(**settings: object) -> AnyControl:
    return TypeAdapter(AnyControl).validate_python(settings)


@pytest.mark.parametrize("kl", [[], [0.5, 0.5], [1.0, 0.5], [0.0, 1.0], [-1.0, 1.0], [math.nan], [math.inf]])
def test_a_grid_must_ascend_from_above_zero(kl: list[float]) -> None:
    with pytest.raises(ValidationError, match="kl"):
        control(type="path", kl=kl)


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "target", "budgets": []},
        {"type": "target", "budgets": [0.0]},
        {"type": "target", "points": 0},
        {"type": "target", "ramp": 1.5},
        {"type": "target", "initial_beta": 0},
        {"type": "target", "integral": -0.1},
        {"type": "penalty", "points": 0},
        {"type": "penalty", "points": 2.5},
        {"type": "penalty", "kl": [1.0]},
        {"type": "adaptive"},
    ],
)
def test_impossible_controls_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        control(**settings)


def test_only_a_target_has_budgets_and_one_run_for_each() -> None:
    assert control(type="path").allotted() == control(type="penalty").allotted() == (None,)
    assert control(type="target", budgets=[0.5, 2]).allotted() == (0.5, 2.0)
