"""One window: start the load, warm up, wait, finish the open batches, stop the load.

`window` has the arithmetic.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from envs.errors import RuntimeFault, require_positive
from envs.runtimes.serving.instance import Instance
from envs.runtimes.serving.interference import DISTURBED_SHARE, foreign_share, read_cpu
from envs.runtimes.serving.load import Load
from envs.runtimes.serving.process_memory import resident_mib
from envs.runtimes.serving.queue import clock
from envs.runtimes.serving.window import overlap, tenant_measurement
from envs.runtimes.serving.window_failures import no_request, timed_out
from envs.spec import (
    ConfigurationFailed,
    Criticality,
    Failure,
    FailureKind,
    Measurement,
    Origin,
    Tenant,
)
from envs.telemetry.meter import PowerMeter
from envs.telemetry.system_memory import available_mib


@dataclass
class ServingOptions:
    """Options of serving and measuring.

    Attributes:
        max_wait_ms: how long the oldest request waits for a batch to fill.
        batches_per_window: a window is lengthened until the slowest instance would finish this
            many batches in it ...
        requests_per_window: ... and an open loop is likely to have sent this many requests ...
        max_window_s: ... but not beyond this.
        warmup_s: the shortest time before the window opens; a closed loop also waits for a first
            batch of every instance.
        timeout_s: for the warm-up, and for the batches that are open when the window ends.
        max_waiting: how many requests of a tenant may wait, or as many as its instances hold if
            that is more; further ones are refused.
        power_interval_s: between two readings of a sensor that gives watts.
        outside: whether the user's own program sends the requests, so that a window adds none; a
            window without a request is then no failure.
        seed: of the samples and arrivals.
    """

    max_wait_ms: float = 5.0
    batches_per_window: int = 4
    requests_per_window: int = 50
    max_window_s: float = 20.0
    warmup_s: float = 0.3
    timeout_s: float = 60.0
    max_waiting: int = 2048
    power_interval_s: float = 0.1
    outside: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        require_positive(
            "serving",
            self,
            "batches_per_window",
            "requests_per_window",
            "max_window_s",
            "timeout_s",
            "max_waiting",
            "power_interval_s",
        )


@dataclass(frozen=True)
class MeasuredService:
    """Takes windows of the instances that serve.

    Attributes:
        instances: all instances.
        tenants: [T] the tenants that they serve.
        loads: [T] the load of each tenant.
        meter: of power.
        options: how to measure.
        free_mib: returns the memory that the device's driver could still give.
    """

    instances: Sequence[Instance]
    tenants: Sequence[Tenant]
    loads: Sequence[Load]
    meter: PowerMeter
    options: ServingOptions
    free_mib: Callable[[], float] = lambda: math.nan

    @property
    def _served(self) -> set[int]:
        """Return the tenants that have an instance."""
        return {instance.slot.tenant for instance in self.instances}

    @property
    def _saturated(self) -> list[Instance]:
        """Return the instances that get a request whenever they have answered one."""
        closed = [load.closed for load in self.loads]
        return [i for i in self.instances if closed[i.slot.tenant] and not self._gives_way(i)]

    def measure(self, window_s: float, apply_s: float) -> Measurement:
        """Take a window of at least `window_s`.

        Raises:
            ConfigurationFailed: an instance was lost, or did not answer in time.
        """
        began_s = clock()
        try:
            return self._measure(window_s, apply_s, began_s)
        except RuntimeFault as error:  # raised to a load when no instance was alive
            self.check_alive()
            raise ConfigurationFailed(
                Failure(FailureKind.INSTANCE_LOST, str(error), clock() - began_s)
            ) from error
        finally:
            for instance in self.instances:
                instance.log = None

    def _measure(self, window_s: float, apply_s: float, began_s: float) -> Measurement:
        for instance in self.instances:
            instance.log = []
        try:
            for load in self.loads:
                load.start()
            length_s = self._warm_up(window_s)
            with self.meter:
                before, start_s = read_cpu(), clock()
                time.sleep(length_s)
                self._await_answers(start_s)
                end_s, after = clock(), read_cpu()
            power = self.meter.window()
            own_mib, gpu_free_mib, system_mib = resident_mib(), self.free_mib(), available_mib()
            self._finish(start_s, end_s)
            seen = [len(instance.log or ()) for instance in self.instances]
            late = [load.unanswered(start_s, end_s) for load in self.loads]
            now_s = clock()
        finally:
            for load in self.loads:
                load.stop()
        self.check_alive()
        # Critical requests no longer keep it waiting. What began in the window counts.
        self._let_batches_end([each for each in self.instances if self._gives_way(each)])
        logs = [list(instance.log or ()) for instance in self.instances]
        # Some of the late ones were answered after `late` was read. They are counted, not put
        # into a set, since two requests may be due at one instant.
        answered = [Counter[float]() for _ in self.tenants]
        for instance, log, count in zip(self.instances, logs, seen, strict=True):
            answered[instance.slot.tenant].update(
                arrival for record in log[count:] for arrival in record.arrivals_s
            )
        self._let_batches_end(self.instances)
        tenants = []
        for position, (tenant, load) in enumerate(zip(self.tenants, self.loads, strict=True)):
            records = [
                record
                for instance, log in zip(self.instances, logs, strict=True)
                if instance.slot.tenant == position
                for record in log
            ]
            unanswered = (
                None
                if load.closed
                else list((Counter(late[position]) - answered[position]).elements())
            )
            measured = tenant_measurement(records, start_s, end_s, unanswered, now_s)
            critical = tenant.criticality is Criticality.CRITICAL  # others may get nothing
            demanded = critical and not self.options.outside and position in self._served
            if demanded and not measured.requests:
                raise no_request(tenant, end_s - start_s, clock() - began_s)
            tenants.append(measured)
        foreign = foreign_share(before, after)
        return Measurement(
            tenants=tuple(tenants),
            window_s=end_s - start_s,
            origin=Origin.MEASURED,
            power_w=power.mean_w,
            energy_j=power.mean_w * (end_s - start_s),
            memory_mib=own_mib,
            gpu_free_mib=gpu_free_mib,
            available_mib=system_mib,
            overlap=overlap(logs, start_s, end_s),
            foreign_share=foreign,
            disturbed=foreign > DISTURBED_SHARE,
            threads=tuple(
                instance.slot.threads
                for instance in sorted(self.instances, key=lambda each: each.slot.engine_key[:2])
            ),
            apply_s=apply_s,
            measure_s=clock() - began_s,
            sensor=self.meter.sensor.name,
            rails_w=power.rails_w,
            power_uncertainty_w=power.uncertainty_w,
            temperature_c=power.hottest_c,
            throttled=power.throttled,
            sensor_fault=power.fault,
        )

    def check_alive(self) -> None:
        """Raise ConfigurationFailed if an instance has lost its engine."""
        for instance in self.instances:
            if instance.error is not None:
                name = self.tenants[instance.slot.tenant].name
                reason = f"an instance of {name} was lost: {instance.error}"
                place = instance.slot.place
                raise ConfigurationFailed(Failure(FailureKind.INSTANCE_LOST, reason, place=place))

    def _warm_up(self, window_s: float) -> float:
        """Wait until every saturated instance has served a batch; return the window's length."""
        options, saturated = self.options, self._saturated
        began_s = clock()
        while clock() < began_s + options.warmup_s or not all(each.log for each in saturated):
            self.check_alive()
            if clock() > began_s + options.timeout_s:
                late = next((each for each in saturated if not each.log), None)
                self._abandon(began_s + options.timeout_s / 2)
                raise timed_out(
                    f"no batch of every instance within {options.timeout_s:g} s",
                    began_s,
                    late.slot.place if late else None,
                )
            time.sleep(0.005)
        if options.outside:
            return window_s
        took_s = [
            record.end_s - record.start_s
            for instance in self.instances
            if not self._gives_way(instance)
            for record in instance.log or ()
        ]
        # The time in which an open loop sends its requests; 0 for a closed loop.
        slowest_ips = min((self.tenants[each].rate_ips for each in self._served), default=math.inf)
        sending_s = options.requests_per_window / slowest_ips
        wanted_s = max(options.batches_per_window * max(took_s, default=0.0), sending_s)
        return max(window_s, min(wanted_s, options.max_window_s))

    def _await_answers(self, start_s: float) -> None:
        """Keep the window open until every saturated tenant has an answer, even after a stall."""
        due_s, saturated = clock(), self._saturated

        def answered(tenant: int) -> bool:
            logs = [each.log for each in saturated if each.slot.tenant == tenant]
            return any(log and log[-1].end_s >= start_s for log in logs)

        while late := [each for each in saturated if not answered(each.slot.tenant)]:
            self.check_alive()
            if clock() > due_s + self.options.timeout_s:
                raise self._unanswered(due_s, start_s, late[0])
            time.sleep(0.002)

    def _finish(self, start_s: float, end_s: float) -> None:
        """Keep the load on until the batches that are open at the end are served.

        The requests of an open loop that were due in the window get as long again.
        """
        timeout_s = self.options.timeout_s
        for instance in self.instances:
            if self._gives_way(instance):
                continue  # for as long as the load is on
            while (since_s := instance.busy_since_s) is not None and since_s < end_s:
                self.check_alive()
                if clock() > end_s + timeout_s:
                    raise self._unanswered(end_s, start_s, instance)
                time.sleep(0.002)
        grace_s = end_s + (end_s - start_s)
        while clock() < grace_s and any(load.waits(start_s, end_s) for load in self.loads):
            time.sleep(0.005)

    def _unanswered(self, since_s: float, start_s: float, late: Instance) -> ConfigurationFailed:
        """Give up on the instances that have not answered since `since_s`; return the error."""
        self._abandon(since_s)
        reason = f"an instance has not answered for {self.options.timeout_s:g} s"
        return timed_out(reason, start_s, late.slot.place)

    def _abandon(self, since_s: float) -> None:
        """Give up on every instance whose batch began before `since_s`; the others are kept."""
        for instance in self.instances:
            if (busy_s := instance.busy_since_s) is not None and busy_s < since_s:
                instance.abandon(TimeoutError(f"no answer within {self.options.timeout_s:g} s"))

    def _gives_way(self, instance: Instance) -> bool:
        """Return True if critical requests may keep an instance waiting for any time."""
        best_effort = [tenant.criticality is Criticality.BEST_EFFORT for tenant in self.tenants]
        return best_effort[instance.slot.tenant] and not all(best_effort)

    def _let_batches_end(self, instances: Sequence[Instance]) -> None:
        """Wait for the batches of our own load, so that the next window begins with none."""
        deadline_s = clock() + (0.0 if self.options.outside else self.options.timeout_s)
        for instance in instances:
            while instance.busy_since_s is not None and clock() < deadline_s:
                time.sleep(0.002)
