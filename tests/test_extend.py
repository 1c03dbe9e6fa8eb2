"""Every file of docs/extend.md, as it stands there, loaded as a plugin and put to use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from outside_parts import DOCUMENTED
from rollouts import job, make_home
from synthetic import write_experiment

from analysis.figures import FIGURES, Drawing, Material
from analysis.laws.forms import LAWS
from analysis.probes import PROBES
from analysis.records.contracts import CONTRACTS, write_table
from analysis.records.experiment import Experiment as Recorded
from analysis.tables.tables import TABLES, tables
from reward_models.annotators import ANNOTATORS
from reward_models.annotators.base import Judged
from reward_models.gold import GOLDS
from reward_models.gold.base import Completions
from training.config.load import load
from training.config.schema import Experiment
from training.engine.plan import plan
from training.errors import UserError
from training.methods import METHODS
from training.methods.kl_control import PathControl
from training.mitigations import MITIGATIONS
from training.plugins import load_plugins
from training.point_tables import POINT_TABLES
from training.point_tables.base import KEY, Given

CONFIG = "name: x\nworld: {type: quiz}\nproxies: {one: {pairs: 30}}\nruns: {path: {}}\n"


@pytest.fixture(autouse=True)
def _written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All of them in the working folder; registries as before at the end."""
    monkeypatch.chdir(tmp_path)
    for name, code in DOCUMENTED.items():
        Path(name).write_text(code)
    registries: list[Any] = [ANNOTATORS, GOLDS, METHODS, MITIGATIONS, POINT_TABLES]
    parts = [dict(registry.parts) for registry in registries]
    tabled: list[dict[str, Any]] = [FIGURES, PROBES, LAWS, TABLES, CONTRACTS]  # type: ignore[list-item]
    entries = [dict(each) for each in tabled]
    yield
    for registry, before in zip(registries, parts, strict=True):
        registry.parts.clear()
        for part in before.values():
            registry.register(part)
    for each, entry in zip(tabled, entries, strict=True):
        each.clear()
        each.update(entry)


def configured(plugin: str, more: str) -> Experiment:
    Path("x.yaml").write_text(f"plugins: [{plugin}]\n{CONFIG}{more}\n")
    (resolved,) = load(Path("x.yaml"))
    assert plan(resolved.config).stages
    return resolved.config


def judged(value: float, length: float) -> Judged:
    return Judged(np.array([value]), {}, np.array([length]))


def test_there_is_a_file_of_every_kind() -> None:
    kinds = {"annotator", "probe", "point_table", "mitigation", "ensemble", "method", "gold", "law", "figure"}
    assert {name.removeprefix("my_").removesuffix(".py") for name in DOCUMENTED} >= kinds


def test_the_annotator() -> None:
    annotator = configured("my_annotator.py", "annotator: {type: impatient, haste: 1}").annotator
    short, long = judged(0.0, 2.0), judged(0.0, 5.0)
    assert annotator.prefer(short, long)[0] > 0.9
    assert annotator.prefer(short, long) + annotator.prefer(long, short) == pytest.approx(1)


def test_the_probe_has_its_rate_at_every_point(tmp_path: Path) -> None:
    path = write_experiment(tmp_path)
    load_plugins(["my_probe.py"])
    points = tables(Recorded.read(path)).points
    assert {"shouting", "shouting_lo", "shouting_hi"} <= set(points)
    assert (points["shouting"] == 0).all(), "nobody shouts in these records"


def test_the_probe_of_what_no_record_holds(tmp_path: Path) -> None:
    config = configured("my_point_table.py", "measure: {tables: [{type: approvals}, {type: padding}]}")
    (run,) = plan(config).runs
    stage = next(each for each in run.points.scores if each.kind == "padding")
    assert stage.gold_side and {"samples", "scores", "line", "gold"} <= set(stage.inputs)
    assert "my_point_table" in stage.code and not any(
        "my_point_table" in s.code for s in run.points.scores[:-1]
    )

    # Gold gives 1 for every full stop.
    def answered(said: pd.DataFrame) -> pd.DataFrame:
        return said.assign(value=said["completion"].str.count(r"\."))

    given = Given(None, pd.DataFrame(), None, answered)  # type: ignore[arg-type]
    said = pd.DataFrame(
        {"item_id": ["a", "b"], "sample_id": ["0", "0"], "completion": ["no .", "yes . so . so ."]}
    )
    made = config.measure.tables[1].maker(given)(answered(said))
    assert made["padding"].tolist() == [0, 2]
    recorded = Recorded.read(write_experiment(tmp_path))
    for point in (point for run in recorded.runs for point in run.points):
        table = point.samples(KEY).assign(padding=2.0)
        write_table(point.path / "padding.parquet", table.iloc[::2], "padding")
    points = tables(recorded).points
    assert (points["padding_worth"] == 2).all()


def test_a_table_of_a_point_whose_columns_are_stated_nowhere_is_refused() -> None:
    source = "\n".join(
        line for line in DOCUMENTED["my_point_table.py"].splitlines() if "CONTRACTS[" not in line
    )
    Path("my_point_table.py").write_text(source)
    Path("x.yaml").write_text(f"plugins: [my_point_table.py]\n{CONFIG}")
    with pytest.raises(UserError, match=r"what `padding` holds is stated nowhere; .*CONTRACTS\["):
        load(Path("x.yaml"), ["measure.tables=[{type: padding}]"])
    with pytest.raises(UserError, match="measure.tables names `approvals` twice"):
        load(Path("x.yaml"), ["measure.tables=[{type: approvals}, {type: approvals}]"])


def test_the_mitigation() -> None:
    mitigation = configured("my_mitigation.py", "mitigation: {type: praise_tax, price: 0.5}").mitigation
    assert mitigation is not None
    from training.mitigations.base import Known

    shaped = mitigation.transform(np.zeros(2), pd.DataFrame({"praise": [0, 2]}), Known())
    assert shaped.reward.tolist() == [0.0, -1.0] and shaped.metrics == {"mitigation/charged": 0.5}


def test_the_ensemble_believes_its_least_member() -> None:
    more = "mitigation: {type: worst_case}"
    seeds = {"proxies.one.seeds": 6}
    Path("x.yaml").write_text(f"plugins: [my_ensemble.py]\n{CONFIG}{more}\n")
    (resolved,) = load(Path("x.yaml"), [f"{key}={value}" for key, value in seeds.items()])
    policies = [run.train for run in plan(resolved.config).runs]
    asked = [{name: stage.label for name, stage in p.inputs.items() if "proxy" in name} for p in policies]
    assert [list(each.values()) for each in asked] == [
        ["one/0", "one/1", "one/2"], ["one/3", "one/4", "one/5"]
    ]  # fmt: skip
    mitigation = resolved.config.mitigation
    assert mitigation is not None
    members = [Fixed(np.array(rewards)) for rewards in ([1.0, 5.0], [2.0, 4.0], [3.0, -1.0])]
    assert mitigation.reward(members).standardised([[1], [2]]).tolist() == [1.0, -1.0]


def test_an_ensemble_needs_whole_numbers_of_replicates() -> None:
    Path("x.yaml").write_text(f"plugins: [my_ensemble.py]\n{CONFIG}mitigation: {{type: worst_case}}\n")
    with pytest.raises(UserError, match=r"proxies\.one\.seeds = 4: it must be a multiple of 3"):
        load(Path("x.yaml"), ["proxies.one.seeds=4"])
    with pytest.raises(UserError, match="it acts in the proxy, and dpo with labels = annotator never asks"):
        load(Path("x.yaml"), ["proxies.one.seeds=3", "policy={type: dpo, labels: annotator}"])


def test_an_ensemble_of_copies_of_gold_is_refused_and_one_on_shared_pairs_is_not() -> None:
    text = f"plugins: [my_ensemble.py]\n{CONFIG}mitigation: {{type: worst_case}}\n"
    Path("x.yaml").write_text(text.replace("pairs: 30", "copies_gold: true, seeds: 3"))
    with pytest.raises(UserError, match="against proxies.one: its replicates are all one, a copy of gold"):
        load(Path("x.yaml"))
    Path("x.yaml").write_text(text.replace("pairs: 30", "pairs: 30, seeds: 3, share_pairs: true"))
    (resolved,) = load(Path("x.yaml"))
    (policy,) = (run.train for run in plan(resolved.config).runs)
    members = [stage for name, stage in policy.inputs.items() if name.startswith("proxy")]
    assert len({stage.key for stage in members}) == 3
    assert len({stage.inputs["labels"].key for stage in members}) == 1


def test_an_ensemble_makes_only_its_own_policies_anew() -> None:
    runs = "runs: {path: {}, worst: {mitigation: {type: worst_case}}}"
    text = CONFIG.replace("pairs: 30", "pairs: 30, seeds: 3")
    Path("x.yaml").write_text(text)
    Path("y.yaml").write_text(f"plugins: [my_ensemble.py]\n{text.replace('runs: {path: {}}', runs)}")
    before, after = (plan(load(Path(name))[0].config) for name in ("x.yaml", "y.yaml"))
    known = {stage.key for stage in before.stages}
    new = [stage for stage in after.stages if stage.key not in known]
    assert known < {stage.key for stage in after.stages} and all("worst" in stage.label for stage in new)
    assert [stage.kind for stage in new if "my_ensemble" in stage.code] == ["policy"]


@dataclass(frozen=True)
class Fixed:
    """A reward of given values."""

    rewards: np.ndarray

    def score(self, sequences: Sequence[Sequence[int]], batch_size: int = 1024) -> np.ndarray:
        return self.rewards

    standardised = score


def test_the_method_draws_points_that_the_proxy_dislikes(tmp_path: Path) -> None:
    method = configured("my_method.py", "policy: {type: worst_of_n, samples: 8}").policy
    home = make_home(tmp_path / "home")
    work = job(home, tmp_path / "out", measure=True, control=PathControl(kl=(0.3,)))
    method.train(work)
    points = sorted((tmp_path / "out" / "points").iterdir())
    assert len(points) == 2
    said = [pd.read_parquet(point / "samples.parquet") for point in points]
    assert work.proxy is not None
    reward = work.proxy()
    items = work.world.prompts("eval").set_index("item_id")
    prompts = work.world.tokenizer()(items["prompt"].tolist())["input_ids"]
    by_item = dict(zip(items.index, prompts, strict=True))
    means = [
        reward.score([[*by_item[i], *ids] for i, ids in zip(s["item_id"], s["ids"], strict=True)]).mean()
        for s in said
    ]
    assert means[1] < means[0]


def test_the_gold() -> None:
    gold = configured("my_gold.py", "gold: {type: brevity}").gold
    asked = Completions(["a", "a"], ["b", "c d"], [[1], [1]], [[2, 0], [3, 4, 0]], None)
    assert gold.score(Path(), asked, 8).tolist() == [-2.0, -3.0]


def test_the_law_peaks_where_it_says() -> None:
    load_plugins(["my_law.py"])
    law, d = LAWS["cubic"], np.linspace(0.01, 3, 3000)
    top = d[law.value(d, 1.0, 0.2).argmax()]
    assert law.peak(np.array([1.0]), np.array([0.2]), np.array([np.nan]))[0] == pytest.approx(top, abs=2e-3)


def test_the_figure_and_its_table(tmp_path: Path) -> None:
    experiment = Recorded.read(write_experiment(tmp_path))
    load_plugins(["my_figure.py"])
    computed = tables(experiment)
    assert (computed["reach"]["kl"] > 1).all()
    drawing = FIGURES["reach"].draw(Material(experiment, computed))
    assert isinstance(drawing, Drawing) and f"{len(computed['reach'])} runs" in drawing.caption
    (grid,) = TABLES["reach"].grids(computed.study)
    assert len(grid.rows) == len(computed["reach"])
