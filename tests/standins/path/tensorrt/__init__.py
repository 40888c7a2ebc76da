"""Take the place of TensorRT in a child process; see `tests.standins.tensorrt.child`."""

import sys

from tests.standins.tensorrt.child import of_environment

if why := of_environment().faults.import_error:
    raise ImportError(why)
sys.modules[__name__] = of_environment().tensorrt
