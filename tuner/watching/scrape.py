"""Read the Prometheus metrics of a service from its loopback port."""

import math
import urllib.error
from collections import defaultdict
from http.client import HTTPException
from urllib.request import ProxyHandler, build_opener

from envs.optional import optional_import
from tuner.watching.moments import Moment, Slot, TenantMoment
from tuner.watching.values import text

#: Bytes of an answer that are read, and seconds to wait for it.
MOST_BYTES, TIMEOUT_S = 1 << 20, 2.0

#: Tenants and accelerators that are read.
MOST_LABELS = 64

Samples = dict[str, dict[tuple[str, ...], float]]


def scraped(port: int) -> tuple[Samples, str]:
    """Return the samples behind a port of 127.0.0.1, and why there are none, as a sentence."""
    where = f"http://127.0.0.1:{port}/metrics"
    try:
        with build_opener(ProxyHandler({})).open(where, timeout=TIMEOUT_S) as answer:
            content = answer.read(MOST_BYTES + 1)
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return {}, f"nothing answers on {where} ({text(str(reason), 80)})"
    try:
        found = samples_of(content[:MOST_BYTES].decode("utf-8", "replace"))
    except ValueError:
        return {}, f"{where} answers, but not with metrics"
    if not found:
        return {}, f"{where} has no metrics of this project"
    return found, ""


def samples_of(page: str) -> Samples:
    """Return the values by the name of the metric, without `orin_tuner_`, and its labels.

    Labels stand in the order of their own names: (accelerator, tenant) for instances.

    Raises:
        ValueError: the page holds something other than metrics.
    """
    parser = optional_import("prometheus_client.parser", "metrics")
    found: Samples = defaultdict(dict)
    for family in parser.text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name.startswith("orin_tuner_"):
                name = sample.name.removeprefix("orin_tuner_")
                labels = tuple(sample.labels[key] for key in sorted(sample.labels))
                found[name][labels] = float(sample.value)
    return dict(found)


def moment_of(samples: Samples, before: Samples, clock: str, at_s: float) -> Moment | None:
    """Return the last period that the metrics show; None if they show none that is new.

    The phase and whether limits were kept follow from the counts since the scrape before. Of
    several periods between two scrapes only the last is seen, and the counts tell of all of them.

    Args:
        samples: of this scrape.
        before: of the one before; empty for the first.
        clock: time of day, as text.
        at_s: when the scrape was.
    """
    phases = samples.get("periods_total", {})
    earlier = before.get("periods_total", {})
    count = sum(phases.values())
    if not math.isfinite(count) or count < 1 or (before and phases == earlier):
        return None
    moved = [key for key in phases if phases[key] > earlier.get(key, 0.0)] if before else []
    broken = _one(samples, "limits_broken_periods_total", 0.0)
    broken_before = _one(before, "limits_broken_periods_total", broken)
    names = list(samples.get("throughput_inferences_per_second", {}))[:MOST_LABELS]
    tenants = tuple(_tenant(each, samples) for each in names)
    nothing = bool(tenants) and all(math.isnan(each.p99_ms) for each in tenants)
    return Moment(
        number=int(count),
        clock=clock,
        at_s=at_s,
        phase=text(moved[0][0], 20) if len(moved) == 1 else "",
        tenants=tenants,
        kept=broken <= broken_before if before else None,
        power_w=_one(samples, "power_watts", math.nan),
        power_limit_w=_one(samples, "power_limit_watts", math.inf),
        failure="nothing was measured (the journal says why)" if nothing else "",
    )


def _tenant(label: tuple[str, ...], samples: Samples) -> TenantMoment:
    def of(name: str, missing: float) -> float:
        return samples.get(name, {}).get(label, missing)

    instances, batches = samples.get("instances", {}), samples.get("batch_size", {})
    placed = [key for key in instances if key[1:] == label][:MOST_LABELS]
    return TenantMoment(
        name=text(label[0] if label else "", 120),
        slots=tuple(
            Slot(text(key[0], 60), int(instances[key]), int(batches[key]))
            for key in placed
            if 0 < instances[key] < 1e9 and 0 <= batches.get(key, math.nan) < 1e9
        ),
        throughput_ips=of("throughput_inferences_per_second", math.nan),
        p99_ms=of("latency_p99_seconds", math.nan) * 1e3,
        p99_limit_ms=of("latency_p99_limit_seconds", math.inf) * 1e3,
        least_ips=of("throughput_limit_inferences_per_second", 0.0),
        agreement=of("agreement", math.nan),
    )


def _one(samples: Samples, name: str, missing: float) -> float:
    return next(iter(samples.get(name, {}).values()), missing)
