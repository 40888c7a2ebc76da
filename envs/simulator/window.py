"""A window of measuring in the model, with its noise."""

import numpy as np

from envs.arrays import FloatArray
from envs.catalog.boards import RAILS
from envs.simulator.device_model import DeviceModel
from envs.simulator.response import Response
from envs.simulator.tails import TAIL_WEIGHT, stretched
from envs.simulator.window_noise import WINDOW_S
from envs.spec import Configuration, Measurement, Origin, TenantMeasurement
from envs.spec.validity import memory_mib

#: Where p95 lies between p50 and p99: as for an exponential tail.
P95_SHARE = float(np.log(20) / np.log(100))


def simulated_window(
    model: DeviceModel,
    configuration: Configuration,
    found: Response,
    arriving_ips: FloatArray,
    rng: np.random.Generator,
    apply_s: float,
    window_s: float = WINDOW_S,
    tail_weight: float = TAIL_WEIGHT,
) -> Measurement:
    """Return one window of a configuration.

    Args:
        model: of the device.
        configuration: in service.
        found: its response, one row.
        arriving_ips: [T], the requests that come, served or not; infinite for a closed loop.
        rng: source of the noise.
        apply_s: the time that applying it took.
        window_s: length of the window.
        tail_weight: how heavy the tail of p99 is, see `envs.simulator.tails`.
    """
    tenants = found.throughput_ips.shape[1]
    scatter = model.noise_spread(found.throughput_ips[0], found.p99_ms[0], window_s)
    normals = rng.standard_normal(2 * tenants + 1)
    normals[tenants:-1] = stretched(normals[tenants:-1], tail_weight)
    factors = np.exp(scatter * normals)
    ips, p99 = found.throughput_ips[0] * factors[:tenants], found.p99_ms[0] * factors[tenants:-1]
    p50 = np.minimum(found.p50_ms[0] / factors[:tenants], p99)
    wide = np.exp(1.96 * scatter[tenants:-1])
    served = [
        TenantMeasurement(
            throughput_ips=float(rate),
            p50_ms=float(half),
            p95_ms=float(half + P95_SHARE * (late - half)),
            p99_ms=float(late),
            p99_low_ms=float(late / each),
            p99_high_ms=float(late * each),
            requests=int((rate if np.isinf(arriving) else arriving) * window_s),
        )
        for rate, arriving, half, late, each in zip(ips, arriving_ips, p50, p99, wide, strict=True)
    ]
    power = float(found.power_w[0] * factors[-1]) if model.has_power else np.nan
    return Measurement(
        tuple(served),
        window_s,
        Origin.SIMULATED,
        power_w=power,
        energy_j=power * window_s,
        memory_mib=float(memory_mib(model.space, configuration.array()[None])[0]),
        overlap=1.0,
        threads=(1,) * configuration.total_instances,
        apply_s=apply_s,
        measure_s=window_s,
        sensor="simulated" if model.has_power else "none",
        rails_w=dict(zip(RAILS, (found.rails_w[0] * factors[-1]).tolist(), strict=True))
        if model.has_power
        else {},
    )
