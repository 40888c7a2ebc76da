"""A window to make others from."""

from __future__ import annotations

from envs.spec.measurement import Measurement
from envs.spec.space import Configuration
from tests.worlds import respond, space

SPACE = space()
SERVING, OTHER = (Configuration.of(SPACE.catalogue[row]) for row in (5, 9))
WINDOW: Measurement = respond(SPACE, SERVING)
