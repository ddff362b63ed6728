"""How many sites it takes to certify a statement and to open a sum.

With n sites in a cohort and at most T of them colluding with the coordinator, two different
included sets can be certified in one round only if 2t - n <= T: each needs t co-signatures, an
honest site signs one of them at most, so t - T honest ones stand behind each, together at most
n - T. The threshold below is the smallest t with t > (n + T) / 2, which excludes it.

A round that is aborted and repeated carries the same updates, so the same must hold for sets of two
plans, with n the sites of either: that is what `overlap` asks.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

CertificateRule = Literal["threshold", "unanimous"]


@dataclass(frozen=True, slots=True)
class Quorum:
    """The session's rule.

    Attributes:
        colluders: T, how many sites may collude with a cheating coordinator.
        rule: ``threshold``, or ``unanimous``: every site that a statement names co-signs it.
    """

    colluders: int
    rule: CertificateRule = "threshold"

    def threshold(self, cohort: int) -> int:
        """t: co-signatures of a certificate, and share sums that open a round, of `cohort` sites.

        Above `cohort` where the cohort is too small for T colluders: nothing can be certified.
        """
        return (cohort + self.colluders) // 2 + 1

    def overlap(self, first: Collection[str], second: Collection[str]) -> bool:
        """Whether any two certificates, one of each cohort, have an honest co-signer in common."""
        either = frozenset(first) | frozenset(second)
        return self.threshold(len(first)) + self.threshold(len(second)) > (
            len(either) + self.colluders
        )

    def is_certified(
        self, signers: Collection[str], cohort: Collection[str], named: Collection[str]
    ) -> bool:
        """Whether these co-signatures make a certificate.

        Args:
            signers: who has co-signed the statement.
            cohort: the sites of the round's plan; nobody else's signature counts.
            named: the sites that the statement names.
        """
        counted = frozenset(signers) & frozenset(cohort)
        enough = len(counted) >= self.threshold(len(cohort))
        return enough and (self.rule == "threshold" or frozenset(named) <= counted)
