"""Compare agents that set every knob with those that choose among proposals, at equal steps.

PPO and MaskablePPO set instances and batch sizes by themselves (`actions="knobs"`); PPO on
proposals, and the reference bundle, choose among configurations that the device model proposes.
Those that are trained here start from nothing and take the same number of environment steps, with
the same numbers of PPO. All play the same episodes under limits that no training drew; on a board
the networks are held out as well. What was trained before, and what is not trained, stands beside.

python -m benchmarks.knobs
python -m benchmarks.knobs --steps 20000 --problems 24 --test 16
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO

from benchmarks.figures import Figure, figure, parser, report
from benchmarks.setup import add_bundle_option
from envs.belief.features import ALLOWED, FEATURES
from envs.knobs_env import KnobsVectorEnv
from envs.problems.named import world_named
from envs.problems.world import World
from envs.spec import FailureKind
from envs.tuning_env import TuningVectorEnv
from tuner.agents.agent_options import AgentOptions
from tuner.agents.training import make_env, make_model
from tuner.agents.vec_env import SB3TuningVecEnv
from tuner.policy.bundle import load_bundle
from tuner.policy.forward import NumpyPolicy

#: A recording, and a board whose problems are drawn in the model.
WORLDS = {"resnet50": "replayed", "agx_orin_64": "simulated"}

#: Measurements after which the share of the optimum is read.
AFTER = (3, 8)

NET_GAIN = FEATURES.index("net_gain")

#: Returns the actions of all rows of an environment, of its observations.
Decide = Callable[[TuningVectorEnv, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Played:
    """Hold the results of B episodes: [budget, B] each, the default's measurement first.

    Attributes:
        share: of the optimum, the best so far.
        broke: a limit was broken, or nothing could be measured.
        invalid: the combination of knobs was invalid.
    """

    share: np.ndarray
    broke: np.ndarray
    invalid: np.ndarray


def play(env: TuningVectorEnv, decide: Decide) -> Played:
    """Play one episode in each row; those whose limits nothing can keep are left out."""
    observation, _ = env.reset(seed=1_000)
    possible = np.isfinite(env.episodes.optimum)
    never = np.zeros(env.num_envs, dtype=bool)
    share, broke, invalid = [env.episodes.share()], [~env.episodes.kept[:, 0]], [never]
    for _ in range(env.episodes.budget - 1):
        observation, _, _, _, facts = env.step(decide(env, observation))
        share.append(facts["share"])
        broke.append(facts["violation"] > 0)
        failures = facts.get("failure", never)
        kinds = [each.kind if each else None for each in failures]
        invalid.append(np.array([kind is FailureKind.INVALID for kind in kinds]))
    found = (np.minimum(np.stack(share), 1.0), np.stack(broke), np.stack(invalid))
    return Played(*(each[:, possible] for each in found))


def agents(train: World, given: AgentOptions, bundle: NumpyPolicy) -> Iterator[tuple[str, Decide]]:
    """Train one agent after the other and yield what it decides; names say what an action is."""
    knobs = SB3TuningVecEnv(KnobsVectorEnv(given.envs, train, shared_noise=True), 0)
    numbers = {
        "learning_rate": given.learning_rate,
        "n_steps": (given.budget - 1) * given.episodes_per_update,
        "batch_size": given.batch_size,
        "n_epochs": given.epochs,
        "gamma": given.gamma,
        "gae_lambda": given.gae_lambda,
        "ent_coef": given.entropy,
        "seed": 0,
        "device": "cpu",
    }
    plain = PPO("MlpPolicy", knobs, **numbers).learn(given.steps)
    yield "knobs, PPO", lambda env, seen: plain.predict(seen, deterministic=True)[0]
    yield "knobs, PPO, sampled", lambda env, seen: plain.predict(seen)[0]
    masked = MaskablePPO("MlpPolicy", knobs, **numbers).learn(given.steps)

    def of_masked(env: TuningVectorEnv, seen: np.ndarray) -> np.ndarray:
        masks = env.action_masks()  # type: ignore[attr-defined]
        return masked.predict(seen, deterministic=True, action_masks=masks)[0]

    yield "knobs, MaskablePPO", of_masked
    yield "knobs, random within the masks", random_knobs(np.random.default_rng(0))
    proposals = make_model(make_env(train, given, 0), given, 0, None).learn(given.steps)
    yield "proposals, PPO", lambda env, seen: proposals.predict(seen, deterministic=True)[0]
    yield (
        "proposals, reference bundle",
        lambda env, seen: np.array([bundle.decide(row) for row in seen]),
    )
    yield "proposals, the rule expected_gain", lambda env, seen: best(seen, seen[..., NET_GAIN])
    chance = np.random.default_rng(0)
    yield "proposals, random", lambda env, seen: best(seen, chance.random(seen.shape[:2]))


def best(seen: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """Return the allowed proposal that is worth most, [B]."""
    return np.where(seen[..., ALLOWED] > 0.5, worth, -np.inf).argmax(axis=1)


def random_knobs(rng: np.random.Generator) -> Decide:
    """Return a choice at random among the options that the masks leave."""

    def decide(env: TuningVectorEnv, seen: np.ndarray) -> np.ndarray:
        del seen
        layout = env.episodes.layout  # type: ignore[attr-defined]
        rows = env.action_masks()  # type: ignore[attr-defined]
        return np.array(
            [[rng.choice(np.flatnonzero(each)) for each in layout.split(row)] for row in rows]
        )

    return decide


def figures_of(name: str, played: Played) -> list[Figure]:
    """Return the figures of one agent."""
    figures = []
    for budget in AFTER:
        share = 100 * played.share[budget - 1]
        head = f"{name}: share of the optimum after {budget}"
        figures += [
            figure(f"{head}, mean", float(share.mean()), "%"),
            figure(f"{head}, 5th percentile", float(np.percentile(share, 5)), "%"),
        ]
    return [
        *figures,
        figure(f"{name}: broke a limit or failed", 100 * float(played.broke[1:].mean()), "%"),
        figure(f"{name}: invalid", 100 * float(played.invalid[1:].mean()), "%"),
    ]


def main() -> int:
    """Run the benchmark and return its exit code."""
    arguments = parser(__doc__)
    add_bundle_option(arguments)
    arguments.add_argument("--steps", type=int, default=200_000, help="of each training")
    arguments.add_argument("--problems", type=int, default=256, help="to train on")
    arguments.add_argument("--test", type=int, default=64, help="problems to compare on")
    arguments.add_argument("--episodes", type=int, default=256, help="to compare on")
    arguments.add_argument("--worlds", nargs="+", choices=list(WORLDS), default=list(WORLDS))
    given = arguments.parse_args()
    options = AgentOptions(steps=given.steps, envs=64, batch_size=448, risk="balanced", timed=False)
    bundle = NumpyPolicy(load_bundle(given.bundle))
    figures: list[Figure] = []
    for name in given.worlds:
        train = world_named(name, "train", given.problems)
        test = world_named(name, "held_out", given.test, seed=1)
        for agent, decide in agents(train, options, bundle):
            kind = KnobsVectorEnv if agent.startswith("knobs") else TuningVectorEnv
            played = play(kind(given.episodes, test), decide)
            figures += figures_of(f"{name} ({WORLDS[name]}), {agent}", played)
            print(f"{name}, {agent}: done", flush=True)
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
