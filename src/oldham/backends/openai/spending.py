"""What a run spends on a server, who spends it, and the cap it stops at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oldham.backends.openai.errors import RowError
from oldham.core.errors import ModelError

if TYPE_CHECKING:
    from types import TracebackType

    from oldham.backends.base import ServerOptions


class Spending:
    """Counts what a run spends on a server; models of one server can share it, and then count towards one cap.

    Args:
        options: The prices, in US dollars a million tokens, and the cap.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._read, self._written = options.usd_per_million_read, options.usd_per_million_written
        self._cap = options.cap_usd
        self.by: dict[str, float] = {}
        """US dollars so far, by who spent them; a request whose usage the server did not tell counts as its worst
        case."""
        self.refused = False
        """Whether something was not asked because of the cap."""
        self._promised = 0.0

    @property
    def spent(self) -> float:
        """US dollars so far, whoever spent them."""
        return sum(self.by.values())

    def reached(self) -> ModelError:
        """Return the error that says that the cap is reached, and who spent how much of it."""
        shares = ", ".join(f"{who} ${usd:,.2f}" for who, usd in self.by.items())
        told = f"everything asked of the server counts: {shares}" if shares else "a single request could cross it"
        return ModelError(
            f"The spending cap of ${self._cap or 0.0:g} is reached ({told}).",
            place="cap_usd",
            remedy="Raise cap_usd and give the same command again.",
        )

    def pay(self, who: str, usd: float) -> None:
        """Count what was spent.

        Args:
            who: By whom.
            usd: How much.
        """
        self.by[who] = self.by.get(who, 0.0) + usd

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
        price = self._spending.cost(*most) or 0.0 if known is None else known
        self._paid = None if known is None or self._paid is None else self._paid + known
        self._spending.pay(self._who, price)
        given_back = min(price, self._left)
        self._spending.release(given_back)
        self._left -= given_back

    def __enter__(self) -> Purse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spending.release(self._left)
        self._left = 0.0
