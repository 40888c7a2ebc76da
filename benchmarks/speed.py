"""How fast are the vector environment and a decision? One core; the decision is made in a process that has no torch.

python -m benchmarks.speed
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.figures import figure, parser, report
from envs.traces.reader import find_trace, read_trace
from envs.tuning_env import TuningEnv, TuningVectorEnv
from envs.world import TraceWorld
from tuner.agents.export import bundle_of
from tuner.agents.training import AgentOptions, make_env, make_model
from tuner.policy.forward import NumpyPolicy

#: Run apart, without torch: decides from made-up histories, and says whether torch was loaded.
DECISION = """
import sys, time
from pathlib import Path
import numpy as np
from envs.configuration import Configuration
from envs.objective import Objective
from envs.measurement import Measurement, Origin, TenantMeasurement
from tuner.policy.bundle import load_bundle
from tuner.policy.learned import LearnedTuner
from tuner.search.protocol import Problem
bundle = load_bundle(Path(sys.argv[1]))
tenants = bundle.space.shape[0]
problem = Problem(bundle.space, bundle.candidates, Objective((80.0,) * tenants), bundle.space.default())
rng, times = np.random.default_rng(0), []
for _ in range(300):
    tuner = LearnedTuner(bundle, problem)
    for step in range(bundle.slots):
        began = time.perf_counter()
        configuration = tuner.ask()
        if step:
            times.append(time.perf_counter() - began)
        ms = float(rng.uniform(20, 200))
        tuner.tell(configuration, Measurement((TenantMeasurement(1e3 / ms, ms, ms, ms, ms, ms, 9),) * tenants, 3.0, Origin.REPLAYED))
print(np.median(times) * 1e6, np.percentile(times, 99) * 1e6, int("torch" in sys.modules))
"""


def steps_per_second(env: TuningVectorEnv, seconds: float) -> float:
    """Environment steps per second of processor time (all threads counted), over whole episodes: the median of five stretches."""
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, int(env.single_action_space.n), (7, env.num_envs))  # type: ignore[attr-defined]
    rates = []
    for _ in range(5):
        steps, began_s = 0, time.process_time()
        while time.process_time() - began_s < seconds / 5:
            for row in actions:
                env.step(row)
            steps += actions.size
        rates.append(steps / (time.process_time() - began_s))
    return float(np.median(rates))


def unequal_rows(world: TraceWorld, rows: int = 64, steps: int = 28) -> int:
    """How many of the rows of a vector environment differ from scalar episodes of the same seeds."""
    many, singles = TuningVectorEnv(rows, world), [TuningEnv(world) for _ in range(rows)]
    observations, _ = many.reset(seed=0)
    same = (observations == np.stack([env.reset(seed=i)[0] for i, env in enumerate(singles)])).all(axis=1)
    rng = np.random.default_rng(1)
    for _ in range(steps):
        actions = rng.integers(0, len(world.candidates), rows)
        observations, rewards, terminated, _, _ = many.step(actions)
        for i, (env, action) in enumerate(zip(singles, actions, strict=True)):
            expected, reward, done, _, _ = env.step(action)
            if done:
                expected = env.reset()[0]
            same[i] &= bool((observations[i] == expected).all()) and rewards[i] == reward and terminated[i] == done
    return int((~same).sum())


def disagreements(world: TraceWorld, observations: int = 2000) -> int:
    """Random observations on which a briefly trained SB3 model and the bundle made of it choose differently."""
    options = AgentOptions(steps=20_000, envs=256)
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(make_env(world, options, 0), options, 0, Path(folder))
        model.learn(options.steps)
    policy = NumpyPolicy(bundle_of(model, world.space, world.candidates, options.budget, {}), world.space)
    model.observation_space.seed(0)
    sample = np.stack([model.observation_space.sample() for _ in range(observations)])
    chosen = model.predict(sample, deterministic=True)[0]
    return int(sum(policy.decide(row) != action for row, action in zip(sample, chosen, strict=True)))


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--trace", default="resnet50")
    arguments.add_argument("--bundle", type=Path, default=Path("checkpoints/one_tenant.bundle"))
    arguments.add_argument("--envs", type=int, default=1024)
    given = arguments.parse_args()
    world = TraceWorld(read_trace(find_trace(given.trace)))
    vector = steps_per_second(TuningVectorEnv(given.envs, world), 5.0)
    scalar = steps_per_second(TuningVectorEnv(1, world), 1.0)
    told = subprocess.run([sys.executable, "-c", DECISION, str(given.bundle)], capture_output=True, text=True, check=True).stdout.split()
    median_us, p99_us, torch = float(told[0]), float(told[1]), int(told[2])
    figures = [
        figure(f"vector environment of {given.envs} rows, steps per second of one core", vector, "1/s", ">= 200000"),
        figure("the same over one row", vector / scalar, "times"),
        figure("rows that differ from the scalar environment", unequal_rows(world), "rows", "== 0"),
        figure("policy decision, observation included, median", median_us, "us", "< 100"),
        figure("policy decision, observation included, p99", p99_us, "us"),
        figure("torch was loaded for it", torch, "0 or 1", "== 0"),
        figure("bundle and SB3 model differ, of 2,000 random observations", disagreements(world), "", "== 0"),
    ]
    return report(figures, given.json)


if __name__ == "__main__":
    sys.exit(main())
