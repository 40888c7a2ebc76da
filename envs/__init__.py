"""The world: everything that can be described, simulated or measured; it never imports `tuner`."""

from importlib.util import find_spec

# Importing the package registers its environments: Gymnasium's convention. A device without
# Gymnasium has nothing to register.
if find_spec("gymnasium"):
    from envs.registration import register_environments

    register_environments()
