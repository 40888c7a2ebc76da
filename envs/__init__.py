"""The world: everything that can be described, simulated or measured. Never imports `tuner`."""

from importlib.util import find_spec

# Gymnasium has no plug-in mechanism: importing the package is its convention. On a device without Gymnasium there is nothing to register.
if find_spec("gymnasium"):
    from envs.registration import register_environments

    register_environments()
