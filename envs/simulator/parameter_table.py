"""The free parameters of the device model: meaning, physical range and uncertainty of each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameter:
    """One free parameter.

    Attributes:
        name: how fitted values and options call it.
        nominal: used where nothing was fitted.
        low, high: the physical range; a value outside is refused.
        spread: standard deviation of its logarithm over devices and software versions, as domain
            randomisation draws it.
        meaning: a phrase for messages, with the unit.
        assumed: True if no public measurement constrains it, so that it is a named assumption.
    """

    name: str
    nominal: float
    low: float
    high: float
    spread: float
    meaning: str
    assumed: bool = False


# fmt: off
#: Name, nominal value, low, high and spread of each, in the order of every parameter vector.
TABLE = (
    Parameter("engine_slowdown", 1.5, 0.8, 4.0, 0.25,
              "GPU time of an engine as `trtexec` builds it over one of NVIDIA's submissions to "
              "MLPerf, where computing and not memory is the limit"),
    Parameter("cuda_efficiency", 0.95, 0.05, 4.0, 0.15,
              "share of the FP32 peak of the CUDA cores that large convolutions reach; above 1 "
              "where TF32 on Tensor Cores takes their place"),
    Parameter("fp16_efficiency", 0.55, 0.05, 1.0, 0.15,
              "share of the FP16 peak that large convolutions reach on Tensor Cores"),
    Parameter("int8_efficiency", 0.55, 0.05, 1.0, 0.15,
              "share of the INT8 peak that large convolutions reach on Tensor Cores"),
    Parameter("depthwise_efficiency", 0.25, 0.01, 1.0, 0.2,
              "share of the FP32 peak that depthwise convolutions reach, whatever the precision"),
    Parameter("grouped_efficiency", 0.3, 0.01, 2.0, 0.2,
              "efficiency of grouped convolutions relative to plain ones"),
    Parameter("matmul_efficiency", 1.0, 0.05, 3.0, 0.15,
              "efficiency of matrix products relative to convolutions"),
    Parameter("recurrent_efficiency", 0.7, 0.02, 3.0, 0.2,
              "efficiency of recurrent layers relative to convolutions"),
    Parameter("kernel_floor_us", 6.0, 0.1, 100.0, 0.2,
              "least time of a kernel at the reference GPU clock of 1.3 GHz [us]"),
    Parameter("host_us", 60.0, 0.0, 20_000.0, 0.3,
              "host time of a batch in which its instance keeps no accelerator busy, at a CPU "
              "clock of 2.2 GHz [us]"),
    Parameter("launch_us", 0.3, 0.0, 1_000.0, 0.3,
              "host time to launch a kernel, ahead of the GPU's work, at a CPU clock of 2.2 GHz "
              "[us]"),
    Parameter("copy_gb_s", 12.0, 0.5, 200.0, 0.2,
              "rate at which inputs and outputs are copied [GB/s]"),
    Parameter("bandwidth_efficiency", 0.8, 0.2, 1.0, 0.08,
              "share of the nominal DRAM bandwidth that kernels reach"),
    Parameter("cache_share", 0.5, 0.0, 1.0, 0.2,
              "share of the activations that fit into the L2 cache and are read from there"),
    Parameter("dla_efficiency", 0.5, 0.02, 1.0, 0.15,
              "share of its peak that a DLA core reaches on large convolutions"),
    Parameter("dla_bandwidth_gb_s", 30.0, 1.0, 200.0, 0.2,
              "DRAM bandwidth one DLA core can draw [GB/s]"),
    Parameter("dla_layer_us", 3.0, 0.0, 200.0, 0.3,
              "fixed time of each layer and sample on a DLA at its reference clock of 1.6 GHz "
              "[us]"),
    Parameter("dla_task_us", 100.0, 0.0, 5_000.0, 0.3,
              "fixed time of each group of layers that a DLA runs in one piece [us]"),
    Parameter("reformat_passes", 3.0, 0.0, 40.0, 0.3,
              "how often the GPU passes over what enters and leaves a DLA in linear formats"),
    Parameter("dla_hold", 0.2, 0.0, 1.0, 0.3,
              "share of its DLA time in which an engine in linear formats holds the GPU: kernels "
              "around the DLA, and the turn of its stream"),
    Parameter("slice_ms", 1.5, 0.0, 20.0, 0.5,
              "how long an engine on a DLA waits for each of its turns on a busy GPU [ms]"),
    Parameter("switch_ms", 0.1, 0.0, 5.0, 0.5,
              "GPU time that such a turn costs beside its kernels [ms]"),
    Parameter("share_gain", 0.05, 0.0, 1.0, 0.5,
              "how much of the floors of one instance's kernels another one can use"),
    Parameter("pipe_overlap", 0.15, 0.0, 1.0, 0.4,
              "extra GPU capacity where FP32 and Tensor Core kernels run in equal parts",
              assumed=True),
    Parameter("interference", 0.004, 0.0, 0.3, 0.5,
              "extra GPU work of all for each further GPU instance (caches, scheduling)"),
    Parameter("launch_lock", 0.25, 0.0, 1.0, 0.4,
              "share of the host time that instances cannot overlap",
              assumed=True),
    Parameter("contention_threshold", 0.3, 0.0, 1.0, 0.2,
              "share of the DRAM bandwidth in use above which accelerators slow each other"),
    Parameter("contention_slope", 0.45, 0.0, 3.0, 0.3,
              "slowdown per share of the bandwidth beyond the threshold"),
    Parameter("contention_plateau", 0.45, 0.0, 1.0, 0.2,
              "share of the bandwidth beyond the threshold after which it gets no worse"),
    Parameter("gpu_w", 1.73, 0.1, 10.0, 0.12,
              "GPU power per SM and GHz at full clock under full load [W]"),
    Parameter("floor_activity", 0.3, 0.0, 2.0, 0.2,
              "GPU power while a kernel's floor passes, relative to full load"),
    Parameter("busy_activity", 0.5, 0.0, 2.0, 0.15,
              "GPU power while kernels work, whatever they compute, relative to full load"),
    Parameter("cuda_activity", 0.5, 0.05, 2.0, 0.12,
              "GPU power that multiplying in FP32 at its peak adds, relative to full load"),
    Parameter("tensor_activity", 0.8, 0.05, 2.0, 0.12,
              "GPU power that Tensor Cores at their peak add, relative to full load"),
    Parameter("dla_w", 1.9, 0.05, 20.0, 0.2,
              "power of a busy DLA core at 1.6 GHz [W]"),
    Parameter("dla_fabric_w", 2.0, 0.0, 20.0, 0.2,
              "power on the GPU's rail while a DLA core at 1.6 GHz is busy (memory fabric) [W]"),
    Parameter("busy_soc_w", 1.5, 0.0, 10.0, 0.3,
              "step on the GPU's rail once anything runs (memory fabric) [W]"),
    Parameter("busy_sys_w", 0.8, 0.0, 10.0, 0.3,
              "step on the 5 V rail once anything runs [W]"),
    Parameter("poll_share", 0.6, 0.0, 1.0, 0.3,
              "share of a processor core that is busy while an instance waits for an accelerator"),
    Parameter("dram_pj_byte", 60.0, 1.0, 1_000.0, 0.15,
              "energy of moving a byte from or to DRAM [pJ]"),
    Parameter("cpu_core_w", 1.2, 0.05, 20.0, 0.2,
              "power of a busy CPU core at 2.2 GHz [W]"),
    Parameter("idle_scale", 1.0, 0.2, 3.0, 0.1,
              "idle power relative to the board's published one"),
    Parameter("tail", 0.04, 0.0, 1.0, 0.5,
              "how far the 99th percentile of a batch's time lies above its mean"),
    Parameter("quantum_ms", 0.3, 0.0, 200.0, 0.4,
              "time that waiting for a turn adds to the tail where instances outnumber the "
              "capacity [ms]",
              assumed=True),
    Parameter("threads_exponent", 0.9, 0.0, 1.0, 0.3,
              "exponent with which the speed of an instance on a plain computer grows with "
              "its threads, where layers are large"),
    Parameter("cpu_fp32_gmac_s", 60.0, 1.0, 5_000.0, 0.6,
              "FP32 rate of one core of a plain computer [GMAC/s]"),
    Parameter("cpu_int8_ratio", 2.5, 0.3, 16.0, 0.5,
              "INT8 over FP32 rate of a plain computer"),
    Parameter("cpu_layer_us", 15.0, 0.0, 2_000.0, 0.5,
              "fixed time of a layer on a plain computer [us]"),
)
# fmt: on
