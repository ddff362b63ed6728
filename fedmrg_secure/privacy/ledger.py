"""The ledger: what was spent of a data set's privacy budget, over all runs."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import ClassVar, Final

from fedmrg_secure.core.canonical import JsonValue, tagged_hash
from fedmrg_secure.core.errors import FedmrgError, InputError
from fedmrg_secure.privacy.accountant import Account, account, check_delta
from fedmrg_secure.privacy.events import UNITS, PrivacyEvent, Unit
from fedmrg_secure.privacy.ledger_entries import LedgerContent, LedgerHead, Outcome, Spending
from fedmrg_secure.privacy.ledger_file import LedgerFile

PATIENCE_S: Final = 120.0
_SCOPE_TAG: Final = "fedmrg/privacy-ledger/scope/v1"
_DATASET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class BudgetExhausted(FedmrgError):
    """What is asked for would cost more than what is left of a privacy budget."""

    code: ClassVar[str] = "FMRG-4645"


class LedgerMismatch(InputError):
    """A ledger is of another data set, unit or delta than it is used for."""

    code: ClassVar[str] = "FMRG-4646"


class BudgetInvalid(InputError):
    """A budget is not a positive number, or a data set's name is not one."""

    code: ClassVar[str] = "FMRG-4647"


@dataclass(frozen=True, slots=True)
class Reservation:
    """The right to use the data set once, as one event says.

    Attributes:
        name: 16 random bytes, hex.
        epsilon_after: what the data set will have spent, this included.
        budget: what it may spend in all.
        head: of the ledger with it.
    """

    name: str
    epsilon_after: float
    budget: float
    head: LedgerHead


@dataclass(frozen=True, slots=True)
class LedgerView:
    """A ledger as it stood at one moment.

    Attributes:
        dataset: its name at the site.
        unit: whose addition or removal is hidden.
        delta: of the guarantee.
        budget: the epsilon that may be spent in all.
        account: what is spent.
        spendings: every reservation, oldest first.
        head: for peers.
    """

    dataset: str
    unit: str
    delta: float
    budget: float
    account: Account
    spendings: tuple[Spending, ...]
    head: LedgerHead

    @property
    def remaining(self) -> float:
        """What is left of epsilon; 0 when nothing is."""
        return max(0.0, self.budget - self.account.epsilon)


def ledger_path(folder: Path, dataset: str, unit: Unit, delta: float) -> Path:
    """Where in a folder the ledger of a data set, unit and delta lies.

    Raises:
        BudgetInvalid: the data set's name is not 1 to 63 of a-z, 0-9, '.', '_' and '-'.
    """
    if not _DATASET.fullmatch(dataset):
        raise BudgetInvalid(
            f"{dataset!r} cannot name a data set in a ledger",
            hint="use 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit",
        )
    return folder / f"{dataset}-{unit}-{delta!r}.jsonl"


class Ledger:
    """One data set's budget at one site, for one unit and one delta.

    Guarantee:
        When `reserve` returns, its cost is on disk, and every later `reserve` of any process counts
        it, whatever becomes of this one. All reservations together never cost more than the budget
        that was in force at the last of them.

    Assumes:
        The folder is the site's own, on a local disk whose files keep their inode numbers. Whoever
        may write there can restore both files from a backup: only peers notice (`head`).
    """

    def __init__(self, file: LedgerFile, strictest: float, scope: bytes) -> None:
        self._file = file
        self._strictest = strictest
        self.scope = scope
        """what it is a ledger of: `scope_of` the data set's name, unit and delta"""

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        dataset: str,
        unit: Unit,
        delta: float,
        budget: float,
        units: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        patience_s: float = PATIENCE_S,
    ) -> Ledger:
        """Open a ledger, or begin it.

        Args:
            path: of its entries; see `ledger_path`. Its folder is made if absent.
            dataset: the name of the data set.
            unit: "patient" or "record".
            delta: of the guarantee, below 1/units.
            budget: the epsilon that may be spent in all. A ledger keeps that of its beginning; here
                a smaller one holds, a larger one changes nothing (`set_budget` does).
            units: patients or records in the data set.
            now: the site's clock, for people.
            patience_s: how long to wait for another process.

        Raises:
            DeltaTooLarge: see `accountant.check_delta`.
            LedgerMismatch: it is of another data set, unit or delta.
            LedgerBroken: it was damaged, changed, shortened or rolled back.
            LedgerCopied: it is not the file that it was begun as.
            LedgerLocked: another process held it for too long.
        """
        check_delta(delta, units)
        _check_budget(budget)
        if unit not in UNITS:
            raise LedgerMismatch(f"a unit is one of {', '.join(UNITS)}, got {unit!r}")
        file = LedgerFile(path, lambda: now().isoformat(timespec="seconds"), patience_s)
        with file.locked():
            if not file.exists():
                file.begin(
                    {
                        "ledger": secrets.token_hex(16),
                        "dataset": dataset,
                        "unit": unit,
                        "delta": repr(delta),
                        "budget": repr(budget),
                    }
                )
            content = file.read()
        wanted, there = (dataset, unit, delta), (content.dataset, content.unit, content.delta)
        if wanted != there:
            raise LedgerMismatch(
                f"the ledger is of data set {there[0]}, unit {there[1]}, delta {there[2]:g}; asked "
                f"for {dataset}, {unit}, {delta:g}",
                hint="each data set, unit and delta has a ledger of its own",
                location=str(path),
            )
        return cls(file, budget, scope_of(dataset, unit, delta))

    def reserve(self, event: PrivacyEvent, run: str, round: int) -> Reservation:  # noqa: A002
        """Charge one event, before any record is read.

        Args:
            event: what will be done: all steps of a round.
            run: the session, for people.
            round: its number there, >= 0.

        Raises:
            BudgetExhausted: it would cost more than what is left; nothing was charged.
            AccountantsDisagree, AccountingFailed: no epsilon is known; nothing was charged.
            LedgerNotWritten: the disk refused; it may count, and must not be used.
            LedgerBroken, LedgerCopied, LedgerLocked: as for `open`.
        """
        with self._file.locked():
            content = self._file.read()
            budget, after = self._afford(content, event)
            name = secrets.token_hex(16)
            fields: dict[str, JsonValue] = {
                "reservation": name,
                "run": run,
                "round": round,
                "event": event.to_json(),
                "epsilon": repr(after),
            }
            self._file.append(content, "reserved", fields)
        return Reservation(name, after, budget, content.head)

    def check(self, event: PrivacyEvent) -> None:
        """Return if `reserve` would charge this event now; nothing is charged or promised.

        Raises:
            BudgetExhausted: it would cost more than what is left.
            AccountantsDisagree, AccountingFailed, LedgerBroken, LedgerCopied, LedgerLocked: as for
                `reserve`.
        """
        with self._file.locked():
            content = self._file.read()
        self._afford(content, event)

    def _afford(self, content: LedgerContent, event: PrivacyEvent) -> tuple[float, float]:
        """The budget in force, and epsilon with one more event, which is within it."""
        budget = min(content.budget, self._strictest)
        after = account([*content.events, event], content.delta).epsilon
        if not after <= budget:
            raise _exhausted(content, budget, after)
        return budget, after

    def settle(self, reservation: Reservation, outcome: Outcome = "finished") -> LedgerHead:
        """Note what became of a reservation; it stays spent either way.

        Args:
            reservation: from `reserve`, settled for the first time.
            outcome: "finished", or "failed" when what it was for came to nothing.

        Returns:
            The ledger's head after it.
        """
        with self._file.locked():
            content = self._file.read()
            self._file.append(
                content, "settled", {"reservation": reservation.name, "outcome": outcome}
            )
        return content.head

    def remaining(self) -> float:
        """The epsilon that is left of the budget in force here, >= 0."""
        view = self.view()
        return max(0.0, min(view.budget, self._strictest) - view.account.epsilon)

    @property
    def head(self) -> LedgerHead:
        """How far the ledger has come: what belongs into a commit message."""
        with self._file.locked():
            return self._file.read().head

    def head_and_digests(self) -> tuple[LedgerHead, list[bytes]]:
        """The head, and the hash of every entry up to it, for `ledger_entries.check_extension`."""
        with self._file.locked():
            content = self._file.read()
        return content.head, content.digests

    def view(self) -> LedgerView:
        """Everything, as it stands now."""
        return read_ledger(self._file.path)


def scope_of(dataset: str, unit: str, delta: float) -> bytes:
    """What peers know a site's ledgers apart by, 32 bytes; it tells whoever guesses the name."""
    plain = format(Decimal(repr(delta)), "f")
    return tagged_hash(_SCOPE_TAG, dataset.encode(), unit.encode(), plain.encode())


def read_ledger(path: Path, patience_s: float = PATIENCE_S) -> LedgerView:
    """A ledger that is there, checked.

    Raises:
        LedgerBroken, LedgerCopied, LedgerLocked: as for `Ledger.open`.
        AccountantsDisagree, AccountingFailed: no epsilon is known for what it holds.
    """
    file = LedgerFile(path, _no_time, patience_s)
    with file.locked():
        file.exists()  # tells of entries that are gone from beside their head
        content = file.read()
    return LedgerView(
        content.dataset,
        content.unit,
        content.delta,
        content.budget,
        account(content.events, content.delta),
        tuple(content.spendings.values()),
        content.head,
    )


def set_budget(path: Path, budget: float) -> None:
    """Change what may be spent in all, from now on: the decision of whoever answers for the data.

    Raises:
        BudgetInvalid: it is not a positive number.
    """
    _check_budget(budget)
    file = LedgerFile(path, _now, PATIENCE_S)
    with file.locked():
        file.append(file.read(), "budget", {"budget": repr(float(budget))})


def adopt(path: Path) -> None:
    """Take a file as the ledger that was moved there; the one that it was before must be gone."""
    file = LedgerFile(path, _now, PATIENCE_S)
    with file.locked():
        file.append(file.read(moved=True), "adopted", {"file": path.stat().st_ino})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _no_time() -> str:
    raise AssertionError("reading writes no entry")


def _check_budget(budget: float) -> None:
    if not 0 < budget < math.inf:
        raise BudgetInvalid(f"a privacy budget must be a positive number, got {budget}")


def _exhausted(content: LedgerContent, budget: float, after: float) -> BudgetExhausted:
    spent = account(content.events, content.delta).epsilon
    return BudgetExhausted(
        f"data set {content.dataset} would have spent epsilon {after:.3f} of {budget:g} (delta "
        f"{content.delta:g}, unit {content.unit}); {max(0.0, budget - spent):.3f} is left",
        hint="nothing was charged; take fewer steps or more noise, or have the budget raised",
    )
