"""The price of a broken limit, in words and numbers: how careful a search is."""

from __future__ import annotations

from envs.errors import OptionError

#: Prices of a measurement that breaks a limit, as shares of the best score so far.
RISKS = {"bold": 0.03, "balanced": 0.1, "careful": 0.3}

#: The price of `balanced`, with which others are compared.
BALANCED = RISKS["balanced"]

#: Measurements without a broken limit after which the price has halved.
HALVED_AFTER = 4

#: The lowest and the highest price.
LOWEST, HIGHEST = 0.003, 3.0


def parse_risk(given: str | float, key: str = "risk") -> float:
    """Return the price for a word of `RISKS` or a number.

    Args:
        given: as the user gave it.
        key: the option's name, for messages.

    Raises:
        OptionError: it is neither a known word nor a number in LOWEST..HIGHEST.
    """
    if isinstance(given, str) and given in RISKS:
        return RISKS[given]
    try:
        price = float(given)
    except (TypeError, ValueError):
        price = -1.0
    if not LOWEST <= price <= HIGHEST:
        words = ", ".join(f"{word} ({value:g})" for word, value in RISKS.items())
        raise OptionError(
            f"{key}={given!s:.80} must be {words}, or a number in {LOWEST:g}..{HIGHEST:g}: the"
            " price of a measurement that breaks a limit, as a share of the best score so far"
        )
    return price


def price_after(price: float, measurements: int, broken: int) -> float:
    """Return the price of the next broken limit of a search.

    Who bears that a share of the measurements breaks a limit has more to spend the more of them
    kept all limits, and less after each that did not. By then the belief knows the device better,
    too, so that what is left to gain is bought at a lower chance to break a limit. The price goes
    with the share of broken measurements, to which one broken in the first HALVED_AFTER is added.

    Args:
        price: before the first measurement.
        measurements: so far.
        broken: how many of them broke a limit.
    """
    return price * (1 + broken) / (1 + measurements / HALVED_AFTER)


def risk_in_words(price: float) -> str:
    """Return the word of `RISKS` for a price, or the number where there is none."""
    return next((word for word, value in RISKS.items() if value == price), f"{price:g}")
