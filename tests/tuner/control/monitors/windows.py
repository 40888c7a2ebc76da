"""A window to make others from."""

from __future__ import annotations

from envs.spec import Configuration, Measurement
from tests.worlds import respond, space

SPACE = space()
SERVING, OTHER = (Configuration.of(SPACE.catalogue[row]) for row in (5, 9))
WINDOW: Measurement = respond(SPACE, SERVING)
