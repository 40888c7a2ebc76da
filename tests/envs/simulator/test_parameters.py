from __future__ import annotations

import json

import numpy as np
import pytest

from envs.errors import OptionError
from envs.simulator.parameters import (
    FITTED,
    NAMES,
    PARAMETERS,
    SOFTWARE,
    check,
    drawn,
    fitted,
    nominal,
)

ARCHITECTURES = ("ampere", "volta", "cpu")


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_lies_within_its_own_range_and_has_a_width(name: str) -> None:
    known = PARAMETERS[name]
    assert known.low <= known.nominal <= known.high
    assert known.spread > 0
    assert known.meaning


def test_fitted_values_are_parameters_within_their_ranges() -> None:
    found = json.loads(FITTED.read_text())
    assert set(found) == {"all", "ampere", "volta", "about"}
    assert "python -m benchmarks.fidelity --write" in found["about"]
    for group in ("all", "ampere", "volta"):
        assert found[group]
        for name, value in found[group].items():
            check(name, value)


def test_no_assumption_was_fitted() -> None:
    for architecture in ARCHITECTURES:
        assert not {name for name in fitted(architecture) if PARAMETERS[name].assumed}


def test_an_architecture_has_its_own_values_over_those_of_all() -> None:
    assert fitted("ampere")["contention_slope"] == fitted("volta")["contention_slope"]
    assert fitted("ampere")["int8_efficiency"] != fitted("volta")["int8_efficiency"]
    assert nominal("ampere").int8_efficiency[0] == fitted("ampere")["int8_efficiency"]
    assert nominal("ampere").tail[0] == PARAMETERS["tail"].nominal


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("int8_efficiency", 1.5),
        ("int8_efficiency", 0.0),
        ("tail", -0.1),
        ("gpu_w", float("nan")),
        ("speed", 1.0),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=f"parameters.{name}"):
        nominal("ampere").with_values(**{name: value})


@pytest.mark.parametrize("software", SOFTWARE)
def test_software_is_values_of_parameters(software: str) -> None:
    for name, value in SOFTWARE[software].items():
        check(name, value)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("width", [0.5, 1.0, 3.0])
def test_drawn_values_stay_within_their_ranges(architecture: str, width: float) -> None:
    values = drawn(
        architecture, np.random.default_rng(0).standard_normal((200, len(NAMES))), width
    ).values
    assert np.isfinite(values).all()
    for position, known in enumerate(PARAMETERS.values()):
        assert (known.low <= values[:, position]).all()
        assert (values[:, position] <= known.high).all()


def test_drawing_nothing_gives_the_fitted_values() -> None:
    np.testing.assert_allclose(
        drawn("ampere", np.zeros((1, len(NAMES)))).values, nominal("ampere").values
    )
