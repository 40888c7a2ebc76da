"""The dashboard shows the metrics that there are: all of them, and no others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from envs.spec import Configuration, Objective
from tests.worlds import respond, space
from tuner.control.guard import Phase
from tuner.control.metrics import Metrics
from tuner.control.period import Period

pytest.importorskip("prometheus_client")

DASHBOARD = Path(__file__).parents[3] / "examples" / "grafana.json"

#: Metrics that the dashboard leaves out, and why.
LEFT_OUT = {"orin_tuner_agreement_samples": "a constant beside the agreement, for the curious"}


def metric_labels() -> dict[str, set[str]]:
    """Return the labels of each metric that a service has, by its name."""
    from prometheus_client.parser import text_string_to_metric_families

    world = space()
    configuration = Configuration.of(world.catalogue[5])
    outcome, objective = respond(world, configuration), Objective((50.0,))
    metrics = Metrics(0, world)
    try:
        metrics.show(
            Period(1, 0.0, Phase.HOLDING, configuration, outcome, objective, True, 1.0, 0.0, 1, ()),
            lost=0,
        )
        with urlopen(f"http://127.0.0.1:{metrics.port}/metrics") as answer:
            page = answer.read().decode()
    finally:
        metrics.close()
    return {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def strings(data: Any, key: str) -> Iterator[str]:
    """Yield every text under a key, at any depth."""
    if isinstance(data, dict):
        for name, value in data.items():
            if name == key and isinstance(value, str):
                yield value
            yield from strings(value, key)
    elif isinstance(data, list):
        for each in data:
            yield from strings(each, key)


def test_every_metric_is_shown_or_left_out_for_a_reason_and_no_other_is() -> None:
    exist, text = metric_labels(), DASHBOARD.read_text(encoding="utf-8")
    shown = set(re.findall(r"orin_tuner_\w+", text))
    assert shown - set(exist) == set(), "the dashboard asks for what no service has"
    assert set(exist) - shown == set(LEFT_OUT)


def test_selectors_and_legends_name_labels_that_the_metrics_have() -> None:
    exist = metric_labels()
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    for target in (each for panel in panels for each in panel["targets"]):
        names = re.findall(r"(orin_tuner_\w+)\{", target["expr"])
        assert names, target
        for name in names:
            known = exist[name] | {"instance"}  # Prometheus adds that one
            inside = re.search(name + r"\{([^}]*)\}", target["expr"])
            assert inside
            assert set(re.findall(r"(\w+)=~", inside[1])) <= known
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= known


def test_panels_are_numbered_and_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    cells = [
        (x, y)
        for at in places
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(at["x"] + at["w"] for at in places) <= 24
    titles = [title for panel in panels for title in strings(panel, "title")]
    assert len(set(titles)) == len(panels)
