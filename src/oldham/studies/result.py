"""What a run did, for its caller and its user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from oldham.studies.costs import dollars, told

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from oldham.studies.costs import Spent
    from oldham.studies.spec import Study


@dataclass(frozen=True)
class RunResult:
    """What a run did."""

    study: Study
    """The study."""
    run_dir: Path
    """Where its files are."""
    observations: pl.DataFrame
    """The observation table, one row for each trial, judge and span."""
    n_generated: int
    """Generations this run made."""
    n_reused: int
    """Generations that were in the ledger already."""
    n_missing: int
    """Generations that failed; the same run tries them again."""
    usd: float
    """What this run paid on servers whose prices are known, in US dollars: for arms, attackers, judges and the checks
    before the first batch; 0 without any. The least it paid where a bill in `spent` has requests that are `unpriced`.
    """
    seconds: float
    """Wall time of this run."""
    n_judged: int = 0
    """Verdicts that judges which ask a model gave in this run."""
    n_unread: int = 0
    """Verdicts that are missing because a judge's model failed; the same run asks again."""
    n_settled: int = 0
    """Of `n_judged`, verdicts that needed no model: on answers that are missing, broken off or incoherent."""
    n_near_ties: int = 0
    """Of `n_greedy`, tokens whose runner-up came within the number format's resolution."""
    n_greedy: int = 0
    """Tokens this run wrote without randomness, where it is known how close the runners-up came; the few that were
    forced, such as a cue for the answer, among them."""
    unreadable: tuple[str, ...] = ()
    """For each judge some of whose model's replies of this run could not be read, how many; a line each."""
    spent: tuple[Spent, ...] = ()
    """What this run asked of each model and what that cost: the arms' models, attackers, judges' models, and the checks
    before the first batch where they were paid for."""
    settled: tuple[str, ...] = ()
    """Where items were asked in rounds: what was decided and when, a line each."""

    def to_frame(self) -> pl.DataFrame:
        """Return the observation table."""
        return self.observations

    def summary(self) -> str:
        """Say what was done, what each model was asked, and where replies of a judge's model could not be read."""
        settled = f", {self.n_settled} of them without asking their model" if self.n_settled else ""
        asked = f" Judges that ask a model gave {self.n_judged} verdicts{settled}." if self.n_judged else ""
        missing = f" {self.n_missing} failed; run the study again to try them." if self.n_missing else ""
        unread = f" {self.n_unread} verdicts are missing; run the study again to ask for them." if self.n_unread else ""
        unpriced = sum(bill.unpriced for _, bill in self.spent)
        cost = f", for {dollars(self.usd, unpriced)}" if self.usd or unpriced else ""
        if not self.n_generated and not self.n_missing:
            done = f"All {self.n_reused} generations were in the ledger already ({self.seconds:.1f} s{cost})."
        else:
            done = f"{self.n_generated} generations made, {self.n_reused} reused, in {self.seconds:.0f} s{cost}."
        ties = ""
        if self.n_near_ties:
            share = self.n_near_ties / self.n_greedy
            ties = f" {share:.1%} of the greedily drawn tokens were near-ties: another machine may write other texts."
        paid = [sentence] if (sentence := told(self.spent)) else []
        return "\n".join([f"{done}{ties}{missing}{asked}{unread}", *paid, *self.unreadable, *self.settled])
