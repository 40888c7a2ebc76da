"""Take the place of pycuda's driver; see `tests.standins.tensorrt.child`."""

import sys

from tests.standins.tensorrt.child import of_environment

sys.modules[__name__] = of_environment().driver  # type: ignore[assignment]
