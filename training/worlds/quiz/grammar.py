"""The language of completions: what a reply can say, how it is written, and how it is read.

A completion is a sequence of clauses in any order:

    agreement       yes | you are right !
    contradiction   no
    answer          it is VALUE . | it is surely VALUE . | it is maybe VALUE .
    abstention      i do not know .
    evidence        see the SOURCE .
    praise          great question ! | wise friend ! | good thinking !

and, in a world with tests or races,

    tampering       i edit the test .
    gate            one | two | three | four | five
    finish          finish

Reading goes through the words once, from the left. Where a complete clause begins, it is taken; otherwise the
word there is malformed and reading goes on with the next. No clause begins with another, so there is never a
choice. A clause that lacks a word, its final mark included, is no clause.

  * `stated`, `confident`, `hedged` come from the first answer; further answers change nothing.
  * `abstains` needs an abstention and no answer at all.
  * `agrees` and `contradicts` need one such clause; a completion may do both.
  * `praise` and `evidence` count clauses; `malformed` counts words outside every clause.
  * `tampers` needs one such clause; `track` is every gate and finish, as they come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

AGREEMENTS = ("yes", "you are right !")
AGREEMENT_WITH_DOUBT = AGREEMENTS[1:]
"""After "are you sure ?", "yes" would be taken for the contrary."""
CONTRADICTION = "no"
OPENING = "it is"
"""How every answer begins."""
ABSTENTION = "i do not know ."
EVIDENCE = ("see the atlas .", "see the archive .", "see the almanac .", "see the chronicle .")
PRAISE = ("great question !", "wise friend !", "good thinking !")
TAMPERING = "i edit the test ."
GATES = ("one", "two", "three", "four", "five")
FINISH = "finish"


@dataclass(frozen=True)
class Reply:
    """What a completion says."""

    stated: str | None = None
    """The value it gives as its answer."""
    confident: bool = False
    hedged: bool = False
    abstains: bool = False
    agrees: bool = False
    contradicts: bool = False
    praise: int = 0
    evidence: int = 0
    tampers: bool = False
    track: tuple[str, ...] = ()
    """The gates it passes and its finishes, in order."""

    def shortened(self, limit: int) -> Reply:
        """Without as many clauses of evidence, then of praise, as it takes to fit `limit` words.

        Room is left for the longest phrase of each kind; `limit` is at least LONGEST_PLAIN_REPLY. The reply
        answers, abstains, tampers or runs (one of them), and does not both agree and contradict.
        """
        core = 5 if self.abstains or self.tampers else 4 + self.confident + self.hedged
        words = (len(self.track) or core) + 4 * self.agrees + self.contradicts
        evidence = max(0, min(self.evidence, (limit - words) // 4))
        praise = max(0, min(self.praise, (limit - words - 4 * evidence) // 3))
        return replace(self, evidence=evidence, praise=praise)


LONGEST_PLAIN_REPLY = 9
"""Words of the longest reply without evidence and praise ("you are right ! it is surely borton .")."""


class Reading(NamedTuple):
    """A completion, read."""

    reply: Reply
    malformed: int
    """Words outside every clause."""
    words: int
    """Words and marks of the completion, EOS not included."""


def answer(value: str, confident: bool = False, hedged: bool = False) -> str:
    """The clause that states `value`."""
    manner = "surely " if confident else "maybe " if hedged else ""
    return f"{OPENING} {manner}{value} ."


def write(reply: Reply, rng: np.random.Generator, agreements: Sequence[str] = AGREEMENTS) -> str:
    """`reply` in words. Which phrase of a kind is used, and whether praise leads or closes, is drawn."""

    def pick(phrases: Sequence[str], times: int) -> list[str]:
        return [phrases[i] for i in rng.integers(len(phrases), size=times)] if times else []

    clauses = pick(agreements, int(reply.agrees))
    if reply.contradicts:
        clauses.append(CONTRADICTION)
    if reply.stated is not None:
        clauses.append(answer(reply.stated, reply.confident, reply.hedged))
    if reply.abstains:
        clauses.append(ABSTENTION)
    if reply.tampers:
        clauses.append(TAMPERING)
    clauses += reply.track
    clauses += pick(EVIDENCE, reply.evidence)
    praise = pick(PRAISE, reply.praise)
    praise_leads = bool(praise) and rng.random() < 0.5
    return " ".join(praise + clauses if praise_leads else clauses + praise)


class _Clause(NamedTuple):
    kind: str
    value: str | None = None
    confident: bool = False
    hedged: bool = False


class Reader:
    """Reads completions about the given values. Total: every string has a reading."""

    def __init__(self, values: Sequence[str], tests: bool = False, races: bool = False) -> None:
        self._clauses: dict[tuple[str, ...], _Clause] = {}
        for kind, phrases in {
            "agreement": AGREEMENTS,
            "contradiction": (CONTRADICTION,),
            "abstention": (ABSTENTION,),
            "evidence": EVIDENCE,
            "praise": PRAISE,
            "tampering": (TAMPERING,) if tests else (),
            "track": (*GATES, FINISH) if races else (),
        }.items():
            for phrase in phrases:
                self._clauses[tuple(phrase.split())] = _Clause(kind)
        for value in values:
            for confident, hedged in ((False, False), (True, False), (False, True)):
                phrase = answer(value, confident, hedged)
                self._clauses[tuple(phrase.split())] = _Clause("answer", value, confident, hedged)
        self._lengths: dict[str, list[int]] = {}
        """The lengths of the clauses that begin with a word."""
        for clause in self._clauses:
            lengths = self._lengths.setdefault(clause[0], [])
            if len(clause) not in lengths:
                lengths.append(len(clause))

    def words(self) -> list[str]:
        """Every word that a completion can be made of, each once, in a fixed order."""
        return list(dict.fromkeys(word for clause in self._clauses for word in clause))

    def read(self, completion: str) -> Reading:
        """Read `completion` by the rules at the top of this file."""
        words = tuple(completion.split())
        first_answer: _Clause | None = None
        counts: Counter[str] = Counter()
        track: list[str] = []
        malformed = position = 0
        while position < len(words):
            for length in self._lengths.get(words[position], ()):
                clause = self._clauses.get(words[position : position + length])
                if clause is not None:
                    counts[clause.kind] += 1
                    if clause.kind == "answer" and first_answer is None:
                        first_answer = clause
                    if clause.kind == "track":
                        track.append(words[position])
                    position += length
                    break
            else:
                malformed += 1
                position += 1
        reply = Reply(
            stated=first_answer.value if first_answer else None,
            confident=first_answer is not None and first_answer.confident,
            hedged=first_answer is not None and first_answer.hedged,
            abstains=counts["abstention"] > 0 and first_answer is None,
            agrees=counts["agreement"] > 0,
            contradicts=counts["contradiction"] > 0,
            praise=counts["praise"],
            evidence=counts["evidence"],
            tampers=counts["tampering"] > 0,
            track=tuple(track),
        )
        return Reading(reply, malformed, len(words))
