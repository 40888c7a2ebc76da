"""Say what a reader of results must know about the trace that they were made with."""

import numpy as np

from envs.traces.reader import Trace
from envs.traces.schema import P99, STAND_INS


def remark(trace: Trace) -> str:
    """Return sentences about a trace of published measurements; empty for any other trace.

    They say how much of the space it holds, where the numbers come from, and what stands in for
    what was not published. Every command that opens a trace prints them.
    """
    if "published" not in trace.metadata:
        return ""
    space, batch = trace.space, trace.batch
    size = len(space.catalogue) if space.enumerable else space.combinations
    sentences = [
        f"{trace.path.name} is partial: it holds {len(trace.rows):,} of the {size:,} configurations"
        f" of its space, and the best of these counts as the optimum",
        f"its numbers are published measurements ({published_origin(trace)}), replayed",
    ]
    if trace.latency != P99:
        sentences.append(
            f"no p99 was published, so the {STAND_INS[trace.latency]} stands in for it"
        )
    powered = int(np.sum(batch.power_w > 0))
    if powered < len(batch):
        share = f"for {powered} of them" if powered else "for none of them"
        sentences.append(f"power was published {share}")
    return "; ".join(sentences) + "."


def published_origin(trace: Trace) -> str:
    """Return the repositories and licences of published measurements, for example `a/b, MIT`."""
    return "; ".join(map(str, trace.metadata["published"].get("origin", ["unknown"])))
