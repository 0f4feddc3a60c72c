"""What a run asks of each model and what that costs, booked to whoever is asked: arms, attackers and judges."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from oldham.backends.openai.spending import Spending
from oldham.core.counts import total
from oldham.core.records import StopReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from oldham.backends.base import Backend, Request, ServerOptions
    from oldham.core.records import Generation
    from oldham.studies.arms import Arm
    from oldham.studies.judging import Grader
    from oldham.studies.spec import Study


Role = Literal["model", "attacker", "judges' model", "preflight"]

_ORDER: Final[tuple[Role, ...]] = ("model", "attacker", "judges' model", "preflight")


class Payer(NamedTuple):
    """Who asked a model."""

    role: Role
    """`model` for the arms' own; `preflight` for the checks of arms' and attackers' models before their first batch.
    """
    name: str
    """An attacker's name in the study; else the model's."""
    model: str
    """The model that was asked."""
    server: str | None
    """The entry of the study's `servers:` that answers for it, the first of several that say the same; None for none.
    """

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return f"{self.role} `{self.name}`"


@dataclass
class Bill:
    """What one payer asked for, in single calls of a model."""

    calls: int = 0
    """Calls, failed ones among them; those of a batch that was broken off are not. For `preflight`: requests."""
    failed: int = 0
    """Calls that came to nothing; nobody tells their tokens."""
    untold: int = 0
    """Other calls whose tokens are not known in full."""
    prompt_tokens: int = 0
    """Tokens read, as far as they are known."""
    output_tokens: int = 0
    """Tokens written, trace and answer, as far as they are known."""
    seconds: float = 0.0
    """Their share of the batches' wall time, as far as it is known."""
    usd: float | None = None
    """What was paid, as far as it is known, for a batch that was broken off too; None where no price is known."""
    unpriced: int = 0
    """Requests to a server with prices whose cost is not known, because it did not tell their tokens or they were
    broken off; `usd` leaves them out, and is then the least that was paid."""

    def add(self, generation: Generation) -> None:
        """Book a call.

        Args:
            generation: What came of it.
        """
        self.calls += 1
        self.seconds += generation.seconds or 0.0
        if generation.usd is not None:
            self.usd = (self.usd or 0.0) + generation.usd
        if generation.stop is StopReason.ERROR:
            self.failed += 1
            return
        written = total((generation.realised_thinking_tokens, generation.answer_tokens))
        self.untold += written is None or generation.prompt_tokens is None
        self.prompt_tokens += generation.prompt_tokens or 0
        self.output_tokens += (generation.realised_thinking_tokens or 0) + (generation.answer_tokens or 0)

    @property
    def told(self) -> str:
        """The bill in half a sentence."""
        known = "" if self.untold + self.failed < self.calls else ", tokens unknown"
        if not known:
            known = f", {self.prompt_tokens:,} tokens read and {self.output_tokens:,} written"
            known += f" (not told for {self.untold})" if self.untold else ""
        failed = f", {self.failed} of them failed" if self.failed else ""
        cost = "" if self.usd is None else f", {dollars(self.usd, self.unpriced)}"
        return f"{self.calls:,} {'call' if self.calls == 1 else 'calls'}{failed}{known}{cost}"


class Spent(NamedTuple):
    """A payer's bill in one run."""

    payer: Payer
    """Who asked."""
    bill: Bill
    """For what."""

    def facts(self) -> dict[str, Any]:
        """Return both for the manifest: plain JSON values."""
        return {**self.payer._asdict(), **vars(self.bill)}


class Costs:
    """A run's bills, and the totals that the models of one entry of `servers:` share.

    Calls and tokens are booked with the generations they gave. Money is booked where a server's reply is paid, so that
    what rows cost that failed, or that were lost with a batch, is in the bill too.

    Args:
        study: The study.
        graders: The models that judges ask; they keep their bills themselves, the checks of judges among them.
    """

    def __init__(self, study: Study, graders: Sequence[Grader]) -> None:
        self._study, self._graders = study, graders
        self._accounts: list[tuple[ServerOptions, Spending]] = []
        self._bills: dict[Payer, tuple[Bill, Spending | None]] = {}
        for name in study.attackers:
            self._bill(self._attacker(name), self._server_of(name))
        for grader in graders:
            grader.spending = self._account(grader.server)

    def share(self, backend: Backend, payer: str, server: ServerOptions | None) -> None:
        """Let a model that was just loaded count towards its server's total.

        Args:
            backend: The model.
            payer: For whom it answers, but for what attackers ask of it.
            server: Its server; None for none.
        """
        account = self._account(server)
        if account is not None:
            backend.pay_from(account, payer)

    def heard(self, arm: Arm) -> Callable[[Request, Generation], None]:
        """Return what books the calls of an arm's programs.

        Args:
            arm: One of the study's.
        """
        server = self._study.server_of(arm)
        own = self._bill(Payer("model", arm.model, arm.model, self._name(server)), server)

        def book(request: Request, generation: Generation) -> None:
            bill = own if request.to is None else self._bills[self._attacker(request.to)][0]
            bill.add(generation)

        return book

    @contextmanager
    def checking(self, model: str, server: ServerOptions | None) -> Iterator[None]:
        """Book what is paid meanwhile to the checks of a model before its first batch.

        Args:
            model: The model.
            server: Its server; None for none.
        """
        account = self._account(server)
        if account is None:
            yield
            return
        payer = Payer("preflight", model, model, self._name(server))
        self._bill(payer, server)
        account.instead = payer.label
        try:
            yield
        finally:
            account.instead = None

    @property
    def spent(self) -> tuple[Spent, ...]:
        """Every bill so far: the arms' models, attackers, judges' models, checks that were paid for."""
        bills = [(payer, bill, account) for payer, (bill, account) in self._bills.items()]
        bills += [
            (Payer("judges' model", g.model, g.model, self._name(g.server)), g.bill, g.spending) for g in self._graders
        ]
        made = [Spent(payer, _with_money(payer, bill, account)) for payer, bill, account in bills]
        asked = [one for one in made if one.bill.calls or one.bill.usd is not None]
        return tuple(sorted(asked, key=lambda one: _ORDER.index(one.payer.role)))

    @property
    def usd(self) -> float:
        """What all of it costs, as far as it is known."""
        return sum(bill.usd or 0.0 for _, bill in self.spent)

    @property
    def caps_reached(self) -> list[str]:
        """For each server whose cap left something unasked, a sentence that says so, and who spent how much."""
        return [account.reached().message for _, account in self._accounts if account.refused]

    def _attacker(self, name: str) -> Payer:
        options = self._study.attackers[name]
        return Payer("attacker", name, options.model, self._name(self._server_of(name)))

    def _server_of(self, attacker: str) -> ServerOptions | None:
        name = self._study.attackers[attacker].server
        return None if name is None else self._study.servers[name]

    def _bill(self, payer: Payer, server: ServerOptions | None) -> Bill:
        return self._bills.setdefault(payer, (Bill(), self._account(server)))[0]

    def _account(self, server: ServerOptions | None) -> Spending | None:
        if server is None:
            return None
        account = next((known for options, known in self._accounts if options == server), None)
        if account is None:
            account = Spending(server)
            self._accounts.append((server, account))
        return account

    def _name(self, server: ServerOptions | None) -> str | None:
        """Return a server's name; one that only an added judge names has none."""
        return next((name for name, options in self._study.servers.items() if options == server), None)


def _with_money(payer: Payer, bill: Bill, account: Spending | None) -> Bill:
    """Return a bill with what its payer has paid, where that is known better than its generations tell."""
    share = None if account is None or not account.priced else account.by.get(payer.label)
    if share is None:
        return bill
    known = replace(bill, usd=share.usd, unpriced=share.untold)
    if payer.role != "preflight":
        return known
    return replace(known, calls=share.calls, untold=share.untold, prompt_tokens=share.read, output_tokens=share.written)


def dollars(usd: float, unpriced: int) -> str:
    """Return a sum of money in words.

    Args:
        usd: What is known, in US dollars.
        unpriced: Requests whose cost is not known.
    """
    return f"at least ${usd:,.2f} (cost not told for {unpriced})" if unpriced else f"${usd:,.2f}"


def told(spent: Sequence[Spent]) -> str:
    """Say in a sentence who asked for what; empty where only one model was asked, and nothing paid.

    Args:
        spent: A run's bills.
    """
    if len(spent) < 2 and all(bill.usd is None for _, bill in spent):
        return ""
    return f"Asked: {'; '.join(f'{payer.label} {bill.told}' for payer, bill in spent)}."
