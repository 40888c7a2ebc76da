"""Score configurations by the model's predictions of one draw."""

import numpy as np

from envs.arrays import FloatArray, Floats
from envs.simulator.device_model import DeviceModel
from envs.spec import Objective, log_score, worst_margin

#: A penalty per unit of violation (a logarithm) that makes a broken limit cost more than any
#: score could bring.
PENALTY = 6.0

#: A further penalty of every violation (a logarithm): a limit that is broken by little would
#: otherwise cost less than a faster configuration brings.
STEP = 2.0

#: The margin, in logarithms, of a configuration that nothing limits.
UNLIMITED = 20.0


def score_and_violation(
    model: DeviceModel, logs: FloatArray, objective: Objective
) -> tuple[Floats, Floats]:
    """Return the log score and the worst margin of configurations, [..., N] each.

    Args:
        model: of the device; where it predicts no power, a power limit is left out.
        logs: [..., Q, N] logarithms that the model predicts.
        objective: the limits.

    Returns:
        The log of the score, and the worst margin: negative inside the limits, -UNLIMITED where
        there are none.
    """
    limits, weights = objective.log_limits, np.array(model.space.workload.weights)
    if not model.has_power:
        limits[-1] = np.inf
    score = log_score(logs, weights, objective.terms(weights))
    return score, np.maximum(worst_margin(logs, limits), -UNLIMITED)


def penalised(score: Floats, beyond: Floats) -> Floats:
    """Return scores [...] that fall where the worst margin `beyond` [...] lies above zero."""
    return np.asarray(score - PENALTY * np.maximum(beyond, 0.0) - STEP * (beyond > 0.0))
