"""Policies between checkpoints have the KL that was wanted, and are whole or not there."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from drawn_worlds import inputs as world_inputs
from drawn_worlds import opened
from rollouts import METHODS, Silent, job, make_home

from analysis.records.contracts import read_json
from training.methods import kl_control
from training.sampling import points
from training.sampling.points import Observer, weights_file
from training.sampling.sample import load_policy
from training.stages.interpolate import EVALUATIONS, TOLERANCE, Checkpoint, Line, interpolate, mean_kl, place
from training.stages.task import Task
from training.streams import stream

WANTED = [0.03, 0.1, 0.2]
SEED = stream(0, "observe")
"""Points and the policies between them are sampled with the same random numbers."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("home"), eval_items=16)


@pytest.fixture(scope="module")
def run(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A path of RLOO with weights kept at its points."""
    out = tmp_path_factory.mktemp("run")
    settings = {"control": kl_control.PathControl(kl=(0.02, 0.1, 0.3)), "steps": 40, "observe_seed": SEED}
    METHODS["rloo"].train(job(home, out, **settings, measure=True, keep_weights=True))
    return out


# --- the search -------------------------------------------------------------------------------------

CURVES: dict[str, Callable[[float], float]] = {
    "quadratic": lambda a: 4 * a**2,
    "straight": lambda a: 0.1 + 3.9 * a,
    "late": lambda a: 4 * a**12,
    "early": lambda a: 4 * (1 - (1 - a) ** 12),
    "over the hill": lambda a: 4 * a + 12 * a * (1 - a),
}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("wanted", [0.15, 1.0, 3.9, 4.0])
def test_a_kl_is_found_on_any_curve_between_its_ends(name: str, wanted: float) -> None:
    curve, asked = CURVES[name], []

    def kl_at(alpha: float) -> float:
        asked.append(alpha)
        return curve(alpha)

    placed = place(kl_at, wanted, (curve(0.0), curve(1.0)))
    assert placed is not None and placed.kl == curve(placed.alpha)
    assert abs(placed.kl / wanted - 1) <= TOLERANCE
    assert 0 <= placed.alpha <= 1 and len(asked) <= EVALUATIONS


def test_a_kl_that_is_jumped_over_is_given_up() -> None:
    asked: list[float] = []

    def cliff(alpha: float) -> float:
        asked.append(alpha)
        return 0.1 if alpha < 0.3 else 5.0

    assert place(cliff, 1.0, (0.1, 5.0)) is None
    assert len(asked) == EVALUATIONS


# --- the line ---------------------------------------------------------------------------------------


def line(home: Path, run: Path, out: Path) -> tuple[Line, list[Checkpoint]]:
    reference = load_policy(home / "reference")
    observer = Observer(out, opened(home / "world"), reference, seed=SEED, batch_size=64)
    steps = sorted(int(point.name) for point in (run / "points").iterdir())
    samples = [pd.read_parquet(run / "points" / f"{step:06d}" / "samples.parquet") for step in steps]
    path = [Checkpoint(s, mean_kl(table, observer.items)) for s, table in zip(steps, samples, strict=True)]
    return Line(observer, load_policy(home / "reference"), run), path


def test_the_ends_of_the_line_are_the_checkpoints_themselves(home: Path, run: Path, tmp_path: Path) -> None:
    """At α = 0 of the first segment stands π_ref, whose KL is exactly 0; at 1 the point, bit for bit."""
    between, path = line(home, run, tmp_path)
    between.between(path[0], path[1])
    assert between.kl_at(0.0) == 0.0
    assert (between.latest["kl"] == 0).all()
    reference = load_policy(home / "reference").state_dict()
    assert all(torch.equal(value, reference[name]) for name, value in between.policy.state_dict().items())
    assert between.kl_at(1.0) == path[1].kl
    point = pd.read_parquet(run / "points" / f"{path[1].step:06d}" / "samples.parquet")
    assert between.latest["completion"].tolist() == point["completion"].tolist()


def test_the_kl_grows_along_the_line(home: Path, run: Path, tmp_path: Path) -> None:
    between, path = line(home, run, tmp_path)
    between.between(path[0], path[-1])
    kls = [between.kl_at(alpha) for alpha in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert kls == sorted(kls) and kls[-1] == path[-1].kl


# --- the stage --------------------------------------------------------------------------------------


def task(home: Path, run: Path, out: Path) -> Task:
    """The stage as it is planned, on the smallest home; its π_ref is a folder with `model` inside."""
    out.mkdir()
    (out.parent / "reference").mkdir(exist_ok=True)
    if not (out.parent / "reference" / "model").exists():
        (out.parent / "reference" / "model").symlink_to(home / "reference")
    inputs = {**world_inputs(home / "world"), "reference": out.parent / "reference", "policy": run}
    settings = {"seed": 0, "batch_size": 64, "kl": [*WANTED, 1000.0]}
    return Task(out, settings, inputs, Silent())  # type: ignore[arg-type]


def test_every_kl_that_the_path_reached_is_met_and_no_other(home: Path, run: Path, tmp_path: Path) -> None:
    work = task(home, run, tmp_path / "out")
    interpolate(work)
    rows = read_json(work.out / "between.json")["points"]
    assert [row["kl"] for row in rows] == WANTED, "1000 nats are beyond the path"
    items = opened(home / "world").prompts("eval")
    for row in rows:
        samples = pd.read_parquet(work.out / "points" / f"{row['point']:06d}" / "samples.parquet")
        assert abs(mean_kl(samples, items) / row["kl"] - 1) <= TOLERANCE
        assert 0 <= row["alpha"] <= 1
        assert row["step_a"] == 0 or weights_file(run, row["step_a"]).exists()
        assert weights_file(run, row["step_b"]).exists()
    again = task(home, run, tmp_path / "again")
    interpolate(again)
    for file in work.out.rglob("*.*"):
        assert file.is_dir() or file.read_bytes() == (again.out / file.relative_to(work.out)).read_bytes()


def test_weights_that_could_not_be_written_leave_no_point(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up, or a kill, half-way through a file: neither weights nor point, then both."""
    reference = load_policy(home / "reference")
    observer = Observer(tmp_path, opened(home / "world"), reference, seed=0, batch_size=64, keep_weights=True)

    def torn(_: object, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise InterruptedError

    with monkeypatch.context() as patched:
        patched.setattr(points, "save_model", torn)
        with pytest.raises(InterruptedError):
            observer.point(3, reference)
    assert not list(tmp_path.rglob("*.*"))
    observer.point(3, reference)
    observer.point(0, reference)
    assert [file.name for file in (tmp_path / "weights").iterdir()] == ["000003.safetensors"]
    assert sorted(point.name for point in (tmp_path / "points").iterdir()) == ["000000", "000003"]


def test_the_kl_is_weighed_as_every_curve_is() -> None:
    items = pd.DataFrame({"item_id": ["a", "b"], "weight": [3.0, 1.0]})
    samples = pd.DataFrame({"item_id": ["b", "a"], "kl": [8.0, 0.0]})
    assert math.isclose(mean_kl(samples, items), 2.0)
