"""Draw tenants by accelerators: instances and batch sizes, coloured by how near limits are."""

from collections.abc import Sequence

from tuner.watching.curves import Line, Span, short
from tuner.watching.moments import Moment, TenantMoment
from tuner.watching.state import Mood, load_of, mood_of
from tuner.watching.values import fitted, width_of

#: Tenants that have a line on a large screen.
MOST_ROWS = 16

#: Periods back in which an accelerator must have served to keep its column.
COLUMN_PERIODS = 200

#: Columns of the numbers at the right: throughput, p99 and its share.
RATE_WIDTH, P99_WIDTH, LOAD_WIDTH = 9, 9, 6


def grid_of(
    moment: Moment, past: Sequence[Moment], width: int, rows: int = MOST_ROWS, tenant: int = 0
) -> list[Line]:
    """Return the head of the grid and a line for each tenant.

    Args:
        moment: the one that is shown.
        past: the moments until then, which decide the accelerators that have a column.
        width: columns of the screen; accelerators that do not fit are counted.
        rows: tenants that have a line at most; the others are counted.
        tenant: the position of one that has a line, modulo their number.
    """
    if not moment.tenants:
        return []
    first = max(tenant % len(moment.tenants) - rows + 1, 0)
    tenants = moment.tenants[first : first + rows]
    longest = max(width_of(each.name) for each in tenants)
    name_width = min(max(longest, len("tenant")), max(width // 4, 10)) + 1
    room = width - name_width - RATE_WIDTH - P99_WIDTH - LOAD_WIDTH
    every, left = accelerators(past), 0
    shown: list[tuple[str, int]] = []
    for each in every:
        wide = max(width_of(each) + 2, 7)
        if sum(w for _, w in shown) + wide > room - 4 * (len(every) > len(shown) + 1):
            left = len(every) - len(shown)
            break
        shown.append((each, wide))
    head = fitted("tenant", name_width) + "".join(fitted(each, wide) for each, wide in shown)
    head += fitted(f"+{left}", 4) if left else ""
    head += f"{'inf/s':>{RATE_WIDTH}}{'p99 ms':>{P99_WIDTH}}{'load':>{LOAD_WIDTH}}"
    lines: list[Line] = [((head, Mood.DIM),)]
    lines += [_row(each, shown, name_width, left) for each in tenants]
    if hidden := len(moment.tenants) - len(tenants):
        lines.append(((f"and {hidden} more tenants", Mood.DIM),))
    return lines


def accelerators(past: Sequence[Moment]) -> list[str]:
    """Return the accelerators that served lately, sorted by name."""
    return sorted(
        {
            slot.accelerator
            for moment in past[-COLUMN_PERIODS:]
            for tenant in moment.tenants
            for slot in tenant.slots
        }
    )


def _row(
    tenant: TenantMoment, shown: Sequence[tuple[str, int]], name_width: int, left: int
) -> Line:
    load, mood = load_of(tenant), mood_of(load_of(tenant))
    at = {each.accelerator: f"{each.instances}x{each.batch}" for each in tenant.slots}
    cells: list[Span] = [(fitted(tenant.name, name_width - 1) + " ", Mood.PLAIN)]
    for name, wide in shown:
        used = name in at
        cells.append((fitted(at.get(name, "·"), wide), mood if used else Mood.DIM))
    if left:
        hidden = len(at.keys() - {name for name, _ in shown})
        cells.append((fitted(f"+{hidden}" if hidden else "", 4), mood))
    share = "-" if load != load else f"{min(load, 9.99):.0%}"
    numbers = f"{short(tenant.throughput_ips):>{RATE_WIDTH}}{short(tenant.p99_ms):>{P99_WIDTH}}"
    return (*cells, (numbers, Mood.PLAIN), (f"{share:>{LOAD_WIDTH}}", mood))
