"""Real text: the shipped configs on human preferences, from scratch and from pretrained folders, offline."""

from __future__ import annotations

import functools
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn_worlds import drawn, save
from experiments import overopt
from places import CHECKOUT
from pydantic import ValidationError
from transformers import (
    AutoTokenizer,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    GPTNeoXForSequenceClassification,
    PreTrainedTokenizerFast,
)

from analysis.records.experiment import Experiment as Recorded
from reward_models.backbone import Pretrained
from reward_models.errors import UserError
from reward_models.gold import Pretrained as PretrainedGold
from reward_models.gold.base import Completions
from training.config.load import load
from training.config.schema import Experiment
from training.stages.gold import fit_gold
from training.stages.task import Task
from training.store.journal import Journal
from training.worlds.text.tokenizer import Bpe
from training.worlds.text.world import TextWorld

REAL = CHECKOUT / "configs" / "real"
HARMLESS = CHECKOUT.parent / "shared" / "data" / "hh-rlhf-harmless-test" / "harmless_base_test.jsonl"
END = "<|endoftext|>"
SMALL = (
    "reference.sft.steps=4",
    "gold.pairs=500",  # more than there are
    "gold.fit.epochs=1",
    "proxies.starved.pairs=10",
    "proxies.ample.pairs=30",
    "policy.steps=4",
    "policy.prompts_per_step=4",
    "policy.generations=2",
    "best_of_n={prompts: 8, samples: 8}",
    "measure.items=12",
    "measure.heldout_pairs=50",
    "pair_chunk=30",
    "workers=1",
    "tracking.mode=disabled",
)


def dialogues() -> list[dict[str, str]]:
    """Conversations in the form of HH-RLHF, one comparison each."""
    verbs, things = ("fix", "paint", "sell", "find", "open"), ("door", "boat", "clock", "piano", "well")
    places = ("at home", "in town", "by the sea", "at work", "in the rain", "at night", "on a hill", "alone")
    rows = []
    for verb, thing, place in itertools.product(verbs, things, places):
        prompt = f"\n\nHuman: How do I {verb} a {thing} {place}?\n\nAssistant:"
        yes, no = f" First look at the {thing}, then {verb} it.", f" I would not {verb} it {place}."
        rows.append({"chosen": prompt + yes, "rejected": prompt + no})
    return rows


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local file with 200 comparisons."""
    file = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in dialogues()))
    return file


@pytest.fixture(scope="module")
def pythia(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model in the form of EleutherAI/pythia-*: GPT-NeoX in fp16, embedding rows to spare, and a
    tokenizer whose beginning and end are one token and which has none for padding."""
    folder = tmp_path_factory.mktemp("models") / "pythia"
    backend = Bpe(vocab_size=500).build(row["chosen"] for row in dialogues()).backend_tokenizer
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=END, eos_token=END, unk_token=END, padding_side="right"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    GPTNeoXForCausalLM(_neox(tokenizer)).half().save_pretrained(folder)
    return folder


def _neox(tokenizer: Any, **options: Any) -> GPTNeoXConfig:
    return GPTNeoXConfig(
        vocab_size=-(-len(tokenizer) // 128) * 128,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **options,
    )


def run(config: str, data: Path, runs: Path, *options: str) -> Recorded:
    """A shipped config made small, through the command, to its end; its records."""
    places = f"world.path={data}", f"paths.runs={runs}", "name=small"
    result = overopt("run", str(REAL / config), *places, *SMALL, *options)
    assert result.returncode == 0, result.stdout + result.stderr
    return Recorded.read(runs / "small")


# ---------------------------------------------------------------- from scratch, on people's preferences


@pytest.fixture(scope="module")
def scratch(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    small = "{type: scratch, hidden_size: 16, layers: 1, heads: 2}"
    models = (f"{key}.model={small}" for key in ("reference", "gold", "proxies.starved", "proxies.ample"))
    return run("hh_rlhf.yaml", data, tmp_path_factory.mktemp("scratch"), *models)


def test_people_teach_gold_and_gold_teaches_the_proxies(scratch: Recorded) -> None:
    cards = {card["name"]: card for card in scratch.cards}
    assert set(cards) == {"gold", "proxy/starved/0", "proxy/ample/0"}
    preferences = cards["gold"]["pairs"] + cards["gold"]["heldout_pairs"]
    assert preferences <= len(dialogues()) and cards["gold"]["heldout_pairs"] == preferences // 5
    for name, card in cards.items():
        assert card["oracle_agreement"] is None
        assert (card["gold_agreement"] is None) == (name == "gold")
    assert {run.status for run in scratch.runs} == {"complete"} and len(scratch.runs) == 2


def test_its_report_claims_nothing_about_an_oracle_or_sycophancy(scratch: Recorded) -> None:
    summary = json.loads((scratch.path / "summary.json").read_text())
    for entry in (*summary["best_of_n"], *(p for r in summary["runs"] for p in r["points"])):
        assert entry["oracle"] is None and entry["gold"] is not None
    for point in (p for r in summary["runs"] for p in r["points"]):
        assert point["sycophancy"] is None and point["neutral_accuracy"] is None
    page = (scratch.path / "report.html").read_text()
    assert "This world has no oracle" in page
    assert not (scratch.path / "figures" / "sycophancy.png").exists()
    assert (scratch.path / "figures" / "goodhart.png").exists()


# ---------------------------------------------------------------- pretrained


def test_pretrained_folders_go_through_the_whole_experiment(data: Path, pythia: Path, tmp_path: Path) -> None:
    keys = ["world.tokenizer", "reference.model", "gold.model"]
    keys += [f"proxies.{name}.model" for name in ("starved", "ample")]
    paths = [f"{key}.path={pythia}" for key in keys]
    steps = ("gold.sft.steps=4", "policy.checkpoint_every=2", "policy.trainer.gradient_accumulation_steps=2")
    experiment = run("hh_rlhf_pythia.yaml", data, tmp_path, *paths, *steps, "report=false")
    assert {run.status for run in experiment.runs} == {"complete"}
    for policy in experiment.runs:
        kl = [point.samples()["kl"] for point in policy.points]
        assert (kl[0] == 0).all(), "π_ref compared with itself"
        assert all(np.isfinite(each).all() for each in kl)
    assert experiment.pool_point
    ends = AutoTokenizer.from_pretrained(pythia).eos_token_id
    pool = experiment.pool_point.samples()
    assert [ids[-1] == ends for ids in pool["ids"]] == pool["finished"].tolist()


def test_a_pretrained_gold_scores_text_in_its_own_tokens(data: Path, pythia: Path, tmp_path: Path) -> None:
    """Its vocabulary is not the policy's, and it needs no training: it gets a card like any other."""
    theirs = AutoTokenizer.from_pretrained(pythia)
    theirs.add_special_tokens({"pad_token": "<pad>"})
    theirs.save_pretrained(tmp_path / "gold")
    torch.manual_seed(1)
    config = _neox(theirs, num_labels=1, pad_token_id=theirs.pad_token_id, initializer_range=0.3)
    network = GPTNeoXForSequenceClassification(config).eval()
    network.save_pretrained(tmp_path / "gold")
    gold = PretrainedGold(path=str(tmp_path / "gold"))
    gold.check()

    (resolved,) = load(REAL / "hh_rlhf.yaml", [f"world.path={data}"])
    world = resolved.config.world
    ours = save(world, drawn(world, 0, eval_items=4, pool_prompts=4), tmp_path / "world").tokenizer()
    prompts, texts = ["\n\nHuman: Why?\n\nAssistant:"] * 2, [" Look.", " I would not do it, ever."]
    ids = ours(texts)["input_ids"]
    assert ids != theirs(texts)["input_ids"]
    values = gold.score(tmp_path, Completions(prompts, texts, ours(prompts)["input_ids"], ids, None), 8)
    for prompt, text, value in zip(prompts, texts, values, strict=True):
        sequence = torch.tensor([[*theirs(prompt + text)["input_ids"], theirs.eos_token_id]])
        assert network(input_ids=sequence).logits.item() == pytest.approx(value, abs=1e-5)

    (tmp_path / "out").mkdir()
    settings = {"seed": 0, "batch_size": 64, "gold": gold.model_dump(mode="json"), "heldout": 50}
    journal = Journal(tmp_path / "metrics.jsonl")
    fit_gold(Task(tmp_path / "out", settings, {"world": tmp_path / "world"}, journal))
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["pairs"] == 0 and 0 < card["accuracy_ci"][0] < card["accuracy_ci"][1] < 1


def test_a_model_too_small_for_the_tokenizer_is_refused(pythia: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(pythia)
    tokenizer.add_tokens([f"word{i}" for i in range(200)])
    with pytest.raises(UserError, match=r"embedding of 384 rows, but the tokenizer has 5\d\d tokens"):
        Pretrained(path=str(pythia)).build(tokenizer, 64, 0)


@pytest.mark.parametrize("place", ["reference.model", "gold.model", "proxies.only.model"])
def test_pretrained_weights_need_their_own_tokenizer(place: str) -> None:
    """A tokenizer trained here would give each token id another meaning than the weights learnt."""
    document: dict[str, Any] = {
        "name": "x",
        "world": {"type": "text", "path": "org/data"},
        "reference": {},
        "gold": {"type": "trained"},
        "proxies": {"only": {"pairs": 2}},
    }
    Experiment.model_validate(document)
    *parents, last = place.split(".")
    section = functools.reduce(lambda part, key: part[key], parents, document)
    section[last] = {"type": "pretrained", "path": "org/model"}
    with pytest.raises(ValidationError, match=f"{place} is pretrained.*world.tokenizer.type=pretrained"):
        Experiment.model_validate(document)
    document["world"]["tokenizer"] = {"type": "pretrained", "path": "org/model"}
    Experiment.model_validate(document)


# ---------------------------------------------------------------- HH-RLHF itself


@pytest.mark.skipif(not HARMLESS.exists(), reason="the HH-RLHF test split is not on this machine")
def test_the_harmless_split_supplies_what_the_config_asks_for() -> None:
    (resolved,) = load(REAL / "hh_rlhf.yaml", [f"world.path={HARMLESS}"])
    config = resolved.config
    assert isinstance(config.world, TextWorld) and config.best_of_n
    built = drawn(config.world, 0, config.measure.items, config.best_of_n.prompts)
    assert len(built.prompts["eval"]) == config.measure.items
    assert len(built.prompts["pool"]) == config.best_of_n.prompts
    assert built.preferences is not None and len(built.preferences) // 5 >= 50, "too few to judge gold by"
    prompts = [set(items["prompt"]) for items in built.prompts.values()]
    assert all(not (a & b) for a, b in itertools.combinations(prompts, 2))
