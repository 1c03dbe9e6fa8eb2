"""What to call a reward model."""

from __future__ import annotations

from analysis.records.experiment import Experiment


def model_labels(experiment: Experiment) -> dict[str, str]:
    """Scorer id → "gold" or "starved (400 pairs)", with the seed of a replicate where there are several.

    All reward models that have a card, gold first, then by the pairs that they were trained on.
    """
    proxies = replicates(experiment)
    ordered = sorted(experiment.cards, key=lambda card: (card["kind"] != "gold", card.get("pairs") or 0))
    labels = {}
    for card in ordered:
        name, pairs = str(card["name"]), card.get("pairs")
        proxy, seed = proxies.get(name, (name, None))
        words = [f"{pairs:,} pairs"] if pairs else []
        words += [] if seed is None else [f"seed {seed}"]
        labels[name] = f"{proxy} ({', '.join(words)})" if words else proxy
    return labels


def replicates(experiment: Experiment) -> dict[str, tuple[str, int | None]]:
    """Scorer id → its proxy and, where that has several replicates, its seed."""
    found: dict[str, tuple[str, int | None]] = {}
    for proxy, record in experiment.proxies.items():
        seeds = int(record.get("seeds", 1))
        for seed in range(seeds):
            found[f"proxy/{proxy}/{seed}"] = (proxy, seed if seeds > 1 else None)
    return found
