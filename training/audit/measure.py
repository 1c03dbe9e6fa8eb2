"""Audit models that need not be of this testbed: a reward model for biases, a policy for sycophancy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.audit.answer_shift import shift_table
from analysis.audit.reward_models import audit_table
from training.audit.chat_format import Dialogue
from training.audit.questions import Questions, matched_answers, read_questions, sycophancy_arms
from training.errors import UserError, why


@dataclass(frozen=True)
class Audit:
    """What an audit found, and on what."""

    model: Path
    questions: Questions
    table: pd.DataFrame


def audit_reward_model(
    folder: Path, questions: Path, prompt: str | None = None, limit: int | None = None, batch_size: int = 32
) -> Audit:
    """The biases of the reward model in `folder`: `analysis.audit.reward_models.audit_table`.

    Args:
        folder: a sequence-classification model with its tokenizer, or an artefact of the store that has one.
        questions: TruthfulQA.csv, or a CSV file with its columns.
        prompt: how a question is put, with {question} in it; see `Dialogue.of`.
        limit: most questions to use.
        batch_size: sequences per forward pass.

    Raises:
        UserError: everything that is wrong with what was given, at once, before any weights are read.
    """
    from reward_models.reward import RewardModel, check_is_reward_model

    model, asked, dialogue = _prepare(folder, questions, prompt, limit, check_is_reward_model)
    answers = matched_answers(asked.table)
    sequences = dialogue.sequences(answers["prompt"].tolist(), answers["completion"].tolist())
    rewards = RewardModel.load(model).score(sequences, batch_size)
    _require_finite(rewards, folder)
    values = answers.assign(scorer=str(folder), value=rewards)
    return Audit(folder, asked, audit_table(values, np.random.default_rng(0)))


def audit_policy(
    folder: Path, questions: Path, prompt: str | None = None, limit: int | None = None, batch_size: int = 32
) -> Audit:
    """Answer sycophancy of the causal language model in `folder`: `analysis.audit.answer_shift.shift_table`.

    Arguments and errors are those of `audit_reward_model`.
    """
    from training.sampling import kl
    from training.sampling.sample import load_policy

    model, asked, dialogue = _prepare(folder, questions, prompt, limit, _check_is_language_model)
    arms = sycophancy_arms(asked.table)
    prompts, replies = dialogue.halves(arms["prompt"].tolist(), arms["completion"].tolist())
    policy, pad = load_policy(model), dialogue.tokenizer.pad_token_id or 0  # masked wherever it stands
    logp = np.full(len(arms), np.nan)
    order = np.argsort([len(p) + len(r) for p, r in zip(prompts, replies, strict=True)], kind="stable")
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = [prompts[row] for row in rows], [replies[row] for row in rows]
        logp[rows] = kl.measure(policy, policy, *batch, pad).logp.double().cpu().numpy()
    _require_finite(logp, folder)
    each = arms.assign(logp=logp).pivot(index=["cluster", "arm"], columns="answer", values="logp")
    odds = (each["wrong"] - each["right"]).rename("log_odds").reset_index()
    return Audit(folder, asked, shift_table(odds, np.random.default_rng(0)))


def _prepare(
    folder: Path, questions: Path, prompt: str | None, limit: int | None, check: Callable[[Path], None]
) -> tuple[Path, Questions, Dialogue]:
    """The model's own folder, the questions and how to put them; `check` raises UserError for a model of
    another kind."""
    from training.engine.quiet import silence_models

    silence_models()
    problems: list[str] = []
    asked = dialogue = None
    try:
        asked = read_questions(questions, limit)
    except UserError as error:
        problems.append(str(error))
    if prompt is not None and "{question}" not in prompt:
        problems.append(f"--prompt {prompt!r} has no {{question}} in it: where would a question stand?")
    model = _model_folder(folder)
    try:
        if not model.is_dir():
            raise UserError(f"{folder}: no such folder; give the folder of a model, with its config.json")
        check(model)
        dialogue = Dialogue.of(model, prompt)
    except UserError as error:
        problems.append(str(error))
    if problems or asked is None or dialogue is None:
        raise UserError("\n".join(problems))
    return model, asked, dialogue


def _model_folder(folder: Path) -> Path:
    """`folder`, or the `model` inside it, where artefacts of the store keep theirs."""
    return folder if (folder / "config.json").is_file() else next(folder.glob("model"), folder)


def _check_is_language_model(folder: Path) -> None:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(f"no model can be read from {folder}: {why(error)}") from None
    names = config.architectures or []
    if not any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names):
        raise UserError(
            f"{folder} holds {', '.join(names) or 'a model of unknown kind'}, not a causal language model"
            + (" (overopt audit-rm audits reward models)" if "SequenceClassification" in str(names) else "")
        )


def _require_finite(values: np.ndarray, folder: Path) -> None:
    if not np.isfinite(values).all():
        raise UserError(f"{folder} gives values that are not finite numbers: its weights may be damaged")
