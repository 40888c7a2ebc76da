"""Every threshold is above zero, and says which benchmark or source chose it."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, replace

import pytest

from envs.errors import OptionError
from tuner.policy.thresholds import DEFAULT_THRESHOLDS, Thresholds


@pytest.mark.parametrize("name", [field.name for field in fields(Thresholds)])
def test_a_threshold_says_who_chose_it_and_is_above_zero(name: str) -> None:
    comment = re.search(rf"((?:    #: .*\n)+)    {name}: ", inspect.getsource(Thresholds))
    assert comment is not None
    assert "Chosen by:" in comment[1] or "Assumed" in comment[1]
    with pytest.raises(OptionError, match=rf"thresholds\.{name}=-1 must be above zero"):
        replace(DEFAULT_THRESHOLDS, **{name: -1})
