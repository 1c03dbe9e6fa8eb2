"""The measurements of scripts/benchmark; see its header for what they mean."""

from __future__ import annotations

import functools
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, PrinterCallback
from trl import RLOOTrainer

from reward_models.reward import RewardModel, write_scale
from training.config.load import load
from training.config.schema import Experiment
from training.engine.worker import prepare
from training.methods.job import PolicyJob
from training.methods.kl_control import Penalty
from training.methods.rloo import Rloo
from training.methods.trainers import rloo, training_run
from training.sampling.points import Observer
from training.stages import sft
from training.store.journal import Journal
from training.worlds.built_world import BuiltWorld, save

CONFIG = Path("configs/quickstart.yaml")
SFT_STEPS = 150  # enough for completions of the usual length
BLOCKS, WARM_UP, MEASURED = 2, 2, 10
STEPS = WARM_UP + MEASURED + 1
# One point half-way (and one at the end, after the last step that is measured): a path of the quickstart
# has 12 in 120 steps as well.
CONTROL = Penalty(points=2)
SEAMS = ("generate", "reward", "reference", "forward-backward", "points")


@dataclass
class Stopwatch:
    """Seconds of each step, whole and by seam, of one block of steps."""

    starts: list[float] = field(default_factory=list)
    spent: list[dict[str, float]] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)

    def add(self, seam: str, seconds: float) -> None:
        """Book `seconds` on the running step; what precedes the first step is not measured."""
        if self.spent:
            self.spent[-1][seam] += seconds

    def begin(self) -> None:
        """A step begins."""
        self.starts.append(time.perf_counter())
        self.spent.append(dict.fromkeys(SEAMS, 0.0))

    def steps(self) -> list[dict[str, float]]:
        """The measured steps, each from its beginning to that of the next, points apart."""
        whole = [b - a for a, b in zip(self.starts, self.starts[1:], strict=False)]
        rows = []
        for total, spent in list(zip(whole, self.spent, strict=False))[WARM_UP:]:
            known = sum(spent.values())
            rows.append({**spent, "rest": total - known, "step": total - spent["points"]})
        return rows


@contextmanager
def seams(watch: Stopwatch) -> Iterator[None]:
    """Time the methods between which a step is spent, for both trainers alike."""

    def timed(seam: str | Callable[..., str | None], method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            result = method(self, *args, **kwargs)
            name = seam if isinstance(seam, str) else seam(self, *args)
            if name:
                watch.add(name, time.perf_counter() - started)
            return result

        return wrapper

    def step(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            watch.begin()
            started = time.perf_counter()
            result = method(self, *args, **kwargs)
            rollout = watch.spent[-1].pop("rollout", 0.0)
            watch.add("forward-backward", time.perf_counter() - started - rollout)
            watch.lengths.append(self._metrics["train"]["completions/mean_length"][-1])
            return result

        return wrapper

    def rollout(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            result = method(self, *args, **kwargs)
            watch.spent[-1]["rollout"] = time.perf_counter() - started
            return result

        return wrapper

    def of_reference(trainer: Any, model: Any, *_: Any) -> str | None:
        return "reference" if model is trainer.ref_model else None

    patches: list[tuple[type, str, Callable[..., Any]]] = [
        (RLOOTrainer, "training_step", step(RLOOTrainer.training_step)),
        (RLOOTrainer, "_prepare_inputs", rollout(RLOOTrainer._prepare_inputs)),
        (RLOOTrainer, "_generate", timed("generate", RLOOTrainer._generate)),
        (RLOOTrainer, "_calculate_rewards", timed("reward", RLOOTrainer._calculate_rewards)),
        (
            RLOOTrainer,
            "_get_per_token_logps_and_entropies",
            timed(of_reference, RLOOTrainer._get_per_token_logps_and_entropies),
        ),
        (Observer, "point", timed("points", Observer.point)),
    ]
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in patches]
    for owner, name, patched in patches:
        setattr(owner, name, patched)
    try:
        yield
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


def materials(config: Experiment, folder: Path) -> tuple[BuiltWorld, Path, Path]:
    """A world, a policy that speaks its language, and a proxy of the same shape (never fitted)."""
    for name in ("world", "eval"):
        (folder / name).mkdir()
    save(config.world, config.world.build(0), folder / "world")
    world = BuiltWorld(folder / "world", {"eval": folder / "eval"})
    items = config.world.measured("eval", config.measure.items, 0, lambda: world.set_aside("eval"))
    items.to_parquet(folder / "eval" / "prompts.parquet")
    sft.train(
        folder / "reference",
        model=config.reference.model,
        sft=config.reference.sft.model_copy(update={"steps": SFT_STEPS}),
        world=world,
        init_seed=0,
        data_seed=0,
        report=lambda *_: None,
    )
    reference, proxy = folder / "reference" / "model", folder / "proxy" / "model"
    torch.manual_seed(0)
    network = AutoModelForSequenceClassification.from_pretrained(reference, num_labels=1)
    network.config.pad_token_id = world.tokenizer().pad_token_id
    network.save_pretrained(proxy)
    write_scale(proxy, torch.tensor([-1.0, 1.0]).numpy())
    return world, reference, proxy


def stock(method: Rloo, job: PolicyJob) -> None:
    """What `rloo_trainer.train` does, by TRL alone and with a reward that costs nothing."""

    def words(completions: list[str], **_: Any) -> list[float | None]:
        return [float(len(completion.split())) for completion in completions]

    trainer = RLOOTrainer(
        model=str(job.reference),
        reward_funcs=words,
        args=rloo.configured(method, job, job.out / "checkpoints"),
        train_dataset=training_run.prompts(job, method.prompts_per_step),
        processing_class=job.world.tokenizer(),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()


def blocks(config: Experiment, folder: Path) -> dict[str, list[Stopwatch]]:
    """Alternating blocks of both trainers, from the same weights and random streams."""
    world, reference, proxy = materials(config, folder)
    # With steps that change next to nothing, both draw the same samples throughout.
    method = config.policy.model_copy(update={"learning_rate": 1e-12})
    watches: dict[str, list[Stopwatch]] = {"testbed": [], "stock": []}
    for number in range(BLOCKS):
        both: list[tuple[str, Callable[..., None]]] = [("testbed", rloo.train), ("stock", stock)]
        for name, train in both if number % 2 == 0 else reversed(both):
            out = folder / f"{name}-{number}"
            out.mkdir()
            job = PolicyJob(
                out=out,
                world=world,
                reference=reference,
                proxy=partial(RewardModel.load, proxy),
                labels=None,
                mitigation=None,
                control=CONTROL,
                budget=None,
                steps=STEPS,
                seed=number,
                observe_seed=0,
                batch_size=config.measure.batch_size,
                measure=True,
                journal=Journal(out / "metrics.jsonl"),
            )
            watch = Stopwatch()
            with seams(watch):
                train(method, job)
            watches[name].append(watch)
        if watches["testbed"][-1].lengths != watches["stock"][-1].lengths:
            print(f"block {number}: the samples differ, so the steps are not quite comparable")
    return watches


def ratio(rows: dict[str, list[dict[str, float]]], part: str) -> str:
    """Testbed over stock: of the medians of all steps, and of each pair of blocks."""

    def of(steps: slice) -> float:
        mine, theirs = (statistics.median(row[part] for row in rows[name][steps]) for name in rows)
        return mine / theirs

    each = [of(slice(i * MEASURED, (i + 1) * MEASURED)) for i in range(BLOCKS)]
    return f"{of(slice(None)):.2f} (by block: {', '.join(f'{value:.2f}' for value in each)})"


def report_steps(watches: dict[str, list[Stopwatch]]) -> None:
    """Print what a step costs, and where it goes."""
    rows = {name: [row for watch in each for row in watch.steps()] for name, each in watches.items()}
    for row in (row for each in rows.values() for row in each):
        row["with points"] = row["step"] + row["points"]
        row["without reward"] = row["step"] - row["reward"]
    medians = {name: statistics.median(row["step"] for row in each) for name, each in rows.items()}
    means = {
        name: {part: statistics.mean(row[part] for row in each) for part in each[0]}
        for name, each in rows.items()
    }
    mine, theirs = means["testbed"], means["stock"]
    print(f"step: medians of {len(rows['stock'])} steps each")
    print(f"  stock trl.RLOOTrainer           {medians['stock']:.3f} s")
    print(f"  testbed, without points         {medians['testbed']:.3f} s   ratio {ratio(rows, 'step')}")
    print(f"    reward set aside in both                ratio {ratio(rows, 'without reward')}")
    print(
        f"  testbed, with points (mean)     {mine['with points']:.3f} s   "
        f"ratio {mine['with points'] / theirs['with points']:.2f}"
    )
    print("breakdown: mean seconds per step, testbed and stock")
    for part in (*SEAMS, "rest"):
        print(f"  {part:<17} {mine[part]:7.3f}  {theirs[part]:7.3f}")
    share = mine["points"] / mine["with points"]
    print(f"measuring: share of training time spent on points\n  {'here':<32} {share:.0%}")


def report_records(directory: Path) -> None:
    """Print the share of measuring in the runs of an experiment, and how long its report takes."""
    for manifest in sorted(directory.glob("*/manifest.json")):
        seconds = json.loads(manifest.read_text()).get("seconds")
        if seconds:
            share = seconds["measuring"] / seconds["total"]
            print(f"  {manifest.parent.name:<32} {share:.0%} of {seconds['total']:.0f} s")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / directory.name
        shutil.copytree(directory, copy)
        print("commands: wall seconds")
        print(f"  overopt report {directory}: {command('report', str(copy)):.1f}")


def command(*arguments: str) -> float:
    """Wall seconds of one `overopt` command."""
    started = time.perf_counter()
    call = [sys.executable, "-m", "training.cli", *arguments]
    result = subprocess.run(call, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"overopt {' '.join(arguments)}: {result.stderr}")
    return time.perf_counter() - started


def main() -> None:
    """Measure and print everything."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/quickstart")
    if len(sys.argv) > 1 and not (directory / "experiment.json").is_file():
        sys.exit(f"{directory} holds no experiment (no experiment.json)")
    prepare()
    config = load(CONFIG)[0].config
    assert isinstance(config.policy, Rloo)
    completions = config.policy.prompts_per_step * config.policy.generations
    print(f"{CONFIG}: {completions} completions per step; torch {torch.__version__}, one thread")
    with tempfile.TemporaryDirectory() as folder:
        report_steps(blocks(config, Path(folder)))
    if (directory / "experiment.json").is_file():
        report_records(directory)
    else:
        print(f"commands: wall seconds (no report: {directory} holds no experiment)")
    print(f"  overopt --help: {min(command('--help') for _ in range(3)):.2f}")
    print(f"memory: at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB resident")


if __name__ == "__main__":
    main()
