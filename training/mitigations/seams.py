"""Where in a policy's training a mitigation can act."""

from __future__ import annotations

from typing import Literal, get_args

Seam = Literal["value", "order", "screen", "penalty", "rollouts", "proxy", "control"]
"""
value     how much better one completion is than another
order     which of two completions is better
screen    which completions are learnt from
penalty   what leaving π_ref costs
rollouts  what the policy is made to say while it learns
proxy     the reward model that is asked
control   how much KL is spent, by what is seen on the way
"""
SEAMS: frozenset[Seam] = frozenset(get_args(Seam))
