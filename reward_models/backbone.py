"""Which network a policy or reward model is made of, and how it learns the demonstrations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from reward_models import trl_arguments
from reward_models.component import Component, Location
from reward_models.errors import UserError, why

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Scratch(Component):
    """A decoder of Llama shape, randomly initialised: small enough for a laptop."""

    type: Literal["scratch"] = "scratch"
    hidden_size: int = Field(64, ge=8, strict=True)
    """Residual width."""
    layers: int = Field(2, ge=1, strict=True)
    """Number of transformer blocks."""
    heads: int = Field(4, ge=1, strict=True)
    """Attention heads; must divide `hidden_size`."""
    mlp_ratio: float = Field(2.0, gt=0)
    """Width of the gated MLP relative to `hidden_size`."""

    def model_post_init(self, _context: Any) -> None:
        if self.hidden_size % self.heads:
            raise ValueError(f"heads={self.heads} must divide hidden_size={self.hidden_size}")

    def build(self, tokenizer: PreTrainedTokenizerBase, max_length: int, seed: int) -> PreTrainedModel:
        """A fresh causal language model for this tokenizer, its weights drawn from `seed`."""
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=self.hidden_size,
            intermediate_size=int(self.hidden_size * self.mlp_ratio),
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.heads,
            max_position_embeddings=max_length,
            tie_word_embeddings=True,
            # As large as the width asks for: with the 0.02 that suits widths of thousands, a small network
            # takes several times the steps to read who holds a belief.
            initializer_range=self.hidden_size**-0.5,
            attention_dropout=0.0,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return LlamaForCausalLM(config)


class Pretrained(Component):
    """Weights from a local folder or a Hugging Face model id (safetensors only, no remote code)."""

    type: Literal["pretrained"] = "pretrained"
    path: Location = Field(min_length=1)
    """Local folder or model id."""
    revision: str | None = None
    """Branch, tag or commit of a model id."""

    def build(self, tokenizer: PreTrainedTokenizerBase, max_length: int, seed: int) -> PreTrainedModel:
        """The pretrained causal language model, checked against the tokenizer it will be used with.

        Raises:
            UserError: it cannot be read, or its embedding has fewer rows than the tokenizer has tokens of
                its own.
        """
        import torch
        from transformers import AutoModelForCausalLM, GenerationConfig

        source = str(Path(self.path)) if Path(self.path).is_dir() else self.path
        try:
            model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
                source,
                revision=self.revision,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
            )
        except (OSError, ValueError) as error:
            raise UserError(f"no model can be read from {self.path}: {why(error)}") from error
        embedding = model.get_input_embeddings().weight
        assert isinstance(embedding, torch.Tensor)
        rows = embedding.shape[0]
        if rows < len(tokenizer) - 1:
            raise UserError(
                f"{self.path} has an embedding of {rows} rows, but the tokenizer has {len(tokenizer)} "
                "tokens: the model and `world.tokenizer` do not belong together"
            )
        if rows < len(tokenizer):  # the padding token that the world added
            model.resize_token_embeddings(len(tokenizer))
        model.config.pad_token_id = tokenizer.pad_token_id
        # Sampling advice that comes with a model would fill whatever a sampler leaves open.
        model.generation_config = GenerationConfig(
            pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id
        )
        return model


AnyModel = Annotated[Scratch | Pretrained, Field(discriminator="type")]


class Sft(Component):
    """Supervised fine-tuning on the world's demonstrations; the loss covers completion tokens only."""

    steps: int = Field(600, ge=1, strict=True)
    """Optimiser steps."""
    batch_size: int = Field(128, ge=1, strict=True)
    """Demonstrations per step."""
    learning_rate: float = Field(3e-3, gt=0)
    """Peak of a linear schedule with warm-up."""
    trainer: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of trl.SFTConfig under TRL's own names."""

    @field_validator("trainer")
    @classmethod
    def _known_to_trl(cls, value: dict[str, Any]) -> dict[str, Any]:
        trl_arguments.check(value, "SFTConfig")
        return value

    @model_validator(mode="after")
    def _batch_splits(self) -> Sft:
        trl_arguments.micro_batch(self.batch_size, self.trainer)
        return self
