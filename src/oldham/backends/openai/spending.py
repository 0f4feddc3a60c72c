"""What a run spends on a server, who spends it, and the cap it stops at."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oldham.backends.openai.errors import RowError
from oldham.core.errors import ModelError

if TYPE_CHECKING:
    from types import TracebackType

    from oldham.backends.base import ServerOptions


@dataclass
class Share:
    """What one payer has spent on a server whose prices are known."""

    calls: int = 0
    """Requests that were paid for, those among them that were broken off."""
    read: int = 0
    """Prompt tokens, as far as they are known."""
    written: int = 0
    """Generated tokens, as far as they are known."""
    usd: float = 0.0
    """US dollars, as far as they are known."""
    untold: int = 0
    """Requests whose cost is not known: the server did not tell their tokens, or they were broken off."""
    most_untold: float = 0.0
    """US dollars that these can have cost at most."""

    @property
    def most(self) -> float:
        """US dollars at most."""
        return self.usd + self.most_untold


class Spending:
    """Counts what a run spends on a server; models of one server can share it, and then count towards one cap.

    Args:
        options: The prices, in US dollars a million tokens, and the cap.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._read, self._written = options.usd_per_million_read, options.usd_per_million_written
        self._cap = options.cap_usd
        self.by: dict[str, Share] = {}
        """What was spent so far, by who spent it."""
        self.instead: str | None = None
        """Who pays for everything at present; None for whoever asks."""
        self.refused = False
        """Whether something was not asked because of the cap."""
        self._promised = 0.0

    @property
    def spent(self) -> float:
        """US dollars so far, whoever spent them; a request whose cost is not known counts as its worst case."""
        return sum(share.most for share in self.by.values())

    @property
    def priced(self) -> bool:
        """Whether it is known what tokens cost."""
        return self._read is not None and self._written is not None

    def reached(self) -> ModelError:
        """Return the error that says that the cap is reached, and who spent how much of it."""
        shares = ", ".join(
            f"{who} {'at most ' if share.untold else ''}${share.most:,.2f}" for who, share in self.by.items()
        )
        told = f"everything asked of the server counts: {shares}" if shares else "a single request could cross it"
        return ModelError(
            f"The spending cap of ${self._cap or 0.0:g} is reached ({told}).",
            place="cap_usd",
            remedy="Raise cap_usd and give the same command again.",
        )

    def pay(self, who: str, usd: float, usage: tuple[int, int] | None = None, *, untold: bool = False) -> None:
        """Count what a request cost.

        Args:
            who: Who asked; see `instead`.
            usd: How much.
            usage: Tokens read and written; None where that is not known.
            untold: The cost is not known, and `usd` the most it can be.
        """
        share = self.by.setdefault(self.instead or who, Share())
        read, written = usage or (0, 0)
        share.calls += 1
        share.read += read
        share.written += written
        if untold:
            share.untold += 1
            share.most_untold += usd
        else:
            share.usd += usd

    def cost(self, read: int, written: int) -> float | None:
        """Return what tokens cost in US dollars, None where a price is missing.

        Args:
            read: Prompt tokens.
            written: Generated tokens.
        """
        if self._read is None or self._written is None:
            return None
        return (read * self._read + written * self._written) / 1e6

    def promise(self, usd: float) -> None:
        """Set money aside for a row.

        Args:
            usd: The most the row can cost.

        Raises:
            RowError: That could cross the cap.
        """
        if self._cap is not None and self.spent + self._promised + usd > self._cap:
            self.refused = True
            raise RowError("cap", f"spending cap of ${self._cap:g} reached")
        self._promised += usd

    def release(self, usd: float) -> None:
        """Give back what was set aside and not spent.

        Args:
            usd: How much.
        """
        self._promised -= usd


class Purse:
    """One row's money: set aside before a request, paid after it, the rest given back at the end.

    Args:
        spending: That of the server.
        who: Who pays.
    """

    def __init__(self, spending: Spending, who: str) -> None:
        self._spending, self._who = spending, who
        self._left = 0.0
        self._paid: float | None = 0.0

    @property
    def paid(self) -> float | None:
        """US dollars the row cost; None where a price or the usage of a request is not known."""
        return self._paid

    def reserve(self, read: int, written: int) -> None:
        """See that there is enough money for what is to be asked next.

        Args:
            read: Most prompt tokens.
            written: Most generated tokens.

        Raises:
            RowError: It could cross the cap.
        """
        missing = (self._spending.cost(read, written) or 0.0) - self._left
        if missing > 0:
            self._spending.promise(missing)
            self._left += missing

    def pay(self, usage: tuple[int, int] | None, most: tuple[int, int]) -> None:
        """Take the price of a request.

        Args:
            usage: Tokens read and written as the server counts them, None where it does not tell.
            most: The most it can have read and written.
        """
        known = None if usage is None else self._spending.cost(*usage)
        self._paid = None if known is None or self._paid is None else self._paid + known
        if not self._spending.priced:
            return
        price = self._spending.cost(*most) or 0.0 if known is None else known
        self._spending.pay(self._who, price, usage, untold=known is None)
        given_back = min(price, self._left)
        self._spending.release(given_back)
        self._left -= given_back

    def __enter__(self) -> Purse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._spending.priced and isinstance(error, asyncio.CancelledError):
            # A row is broken off while it waits for a reply, and nobody tells what that will have cost.
            self._spending.pay(self._who, self._left, untold=True)
        self._spending.release(self._left)
        self._left = 0.0
