"""Names of the environments in Gymnasium.

`gymnasium.make("envs:Tuning-v0")` imports this package itself; after `import envs` the name
`Tuning-v0` will do. `TuningEnv` and `KnobsEnv` have examples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envs.errors import OptionError

if TYPE_CHECKING:
    from envs.base_env import SingleEnv
    from envs.tuning_env import TuningVectorEnv

#: What an action chooses: one of the configurations that the model proposes, or every knob itself.
ACTIONS = ("proposals", "knobs")


def register_environments() -> None:
    """Register by name; the modules themselves are loaded when an environment is made."""
    from gymnasium.envs.registration import register

    register(
        id="Tuning-v0",
        entry_point="envs.registration:make_single",
        vector_entry_point="envs.registration:make_vector",
    )


def make_single(actions: str = "proposals", **options: Any) -> SingleEnv[Any]:
    """Make a `TuningEnv` of its options, or with actions="knobs" a `KnobsEnv`."""
    _check(actions)
    if actions == "knobs":
        from envs.knobs_env import KnobsEnv

        return KnobsEnv(**options)
    from envs.tuning_env import TuningEnv

    return TuningEnv(**options)


def make_vector(actions: str = "proposals", **options: Any) -> TuningVectorEnv:
    """Make a `TuningVectorEnv` of its options, or with actions="knobs" a `KnobsVectorEnv`."""
    _check(actions)
    if actions == "knobs":
        from envs.knobs_env import KnobsVectorEnv

        return KnobsVectorEnv(**options)
    from envs.tuning_env import TuningVectorEnv

    return TuningVectorEnv(**options)


def _check(actions: str) -> None:
    if actions not in ACTIONS:
        raise OptionError(f"actions={actions!r} must be one of {', '.join(ACTIONS)}")
