"""Which network a policy or reward model is made of: a small one from scratch, or a pretrained one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from reward_models.component import Component
from reward_models.errors import UserError

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
    path: str = Field(min_length=1)
    """Local folder or model id."""
    revision: str | None = None
    """Branch, tag or commit of a model id."""

    def build(self, tokenizer: PreTrainedTokenizerBase, max_length: int, seed: int) -> PreTrainedModel:
        """The pretrained causal language model, checked against the tokenizer it will be used with.

        Raises:
            UserError: the embedding has fewer rows than the tokenizer has tokens of its own.
        """
        import torch
        from transformers import AutoModelForCausalLM, GenerationConfig

        source = str(Path(self.path)) if Path(self.path).is_dir() else self.path
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            source, revision=self.revision, use_safetensors=True, dtype=torch.float32
        )
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
