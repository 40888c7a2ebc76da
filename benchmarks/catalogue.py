"""Every benchmark that `python -m benchmarks.results` runs, with a full and a short form."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Benchmark:
    """One section of docs/results.md.

    Attributes:
        name: of the section and of the file with its result.
        module: in `benchmarks/`.
        measures: one plain sentence for the page.
        label: where its numbers come from: simulated, replayed, measured, or several of them.
        full: options of the full form.
        short: options of the short form; None where there is none.
        left_out: why there is no short form.
    """

    name: str
    module: str
    measures: str
    label: str
    full: tuple[str, ...] = ()
    short: tuple[str, ...] | None = ()
    left_out: str = ""

    def command(self, short: bool) -> list[str]:
        """Return the words after `python`."""
        options = self.short if short else self.full
        return ["-m", f"benchmarks.{self.module}", *(options or ())]


def _options(text: str) -> tuple[str, ...]:
    return tuple(text.split())


BENCHMARKS = (
    Benchmark(
        "fidelity",
        "fidelity",
        "Compares the device model with published measurements of Jetson boards: once fitted to "
        "all of them, and once with the source in question left out.",
        "simulated",
        short=_options("--quick"),
    ),
    Benchmark(
        "concurrent",
        "concurrent",
        "Asks the device model what a paper claims for several networks at once: batching, copies, "
        "and CPU, GPU and Edge TPUs together. Compares its cores and Edge TPUs with published "
        "measurements. Nothing was fitted to the claims.",
        "simulated",
    ),
    Benchmark(
        "queueing",
        "queueing",
        "Compares closed forms of waiting times with published measurements of an Edge TPU and of "
        "a GPU that networks share, and with requests simulated one by one.",
        "simulated",
        short=_options("--seconds 3000"),
    ),
    Benchmark(
        "mapping_gain",
        "mapping_gain",
        "Asks the device model what layers on different accelerators gain: one network over the "
        "best single accelerator, and two networks at once over whole networks, beside the gains "
        "that papers publish. Nothing was fitted to these. Times the exact search.",
        "simulated",
        short=_options("--quick"),
    ),
    Benchmark(
        "cluster_log",
        "cluster_log",
        "Replays the log of five Jetson boards under a scheduler, measured by others: completion "
        "times of requests, and the order of two policies by energy and late images.",
        "simulated",
    ),
    Benchmark(
        "cluster_placement",
        "cluster_placement",
        "Places applications on clusters of boards by memory, as a paper does it, as this project "
        "does it, and exactly; counts those that keep their limits when requests are simulated one "
        "by one.",
        "simulated",
        short=_options("--seeds 1 --requests 1000 --scale 1000"),
    ),
    Benchmark(
        "cluster_learned",
        "cluster_learned",
        "Lets the policy measure each network a few times on kinds of boards that differ from the "
        "device model, places applications by that, by the model alone and by the truth, and "
        "counts those that keep their limits on the true boards.",
        "simulated",
        short=_options("--worlds 1 --nodes 4 --requests 500"),
    ),
    Benchmark(
        "cluster_faults",
        "cluster_faults",
        "Places fifty applications on twelve boards through a real Kubernetes API server, and lets "
        "the cluster fail in many ways while the controller works. Boards and kubelets are played.",
        "measured and simulated",
        short=_options("--only by_hand lease node_returns"),
    ),
    Benchmark(
        "transfer",
        "transfer",
        "Compares the policy with searches on problems whose boards, networks and limits were held "
        "out of training.",
        "simulated",
        short=_options("--quick --cases 120 --seeds 3"),
    ),
    Benchmark(
        "mapping_space",
        "mapping_space",
        "Compares the policy with the rule where mappings of layer groups are choices beside whole "
        "accelerators, and prints what the best configuration gains by them.",
        "simulated",
        short=_options("--quick"),
    ),
    Benchmark(
        "transfer_two_tenants",
        "transfer",
        "The same comparison where every problem serves two networks at once.",
        "simulated",
        full=_options("--two-tenants --cases 60 --seeds 3 --out runs/transfer_two_tenants"),
        short=None,
        left_out="finding the optimum of two-network problems takes ten minutes or more",
    ),
    *(
        Benchmark(
            f"transfer_{goal}",
            "transfer",
            f"The same comparison where the goal is {words}: a share is of the best by that goal.",
            "simulated" + also,
            full=_options(f"--goal {goal} --cases 120 --seeds 3 --out runs/transfer_{goal}"),
            short=_options(
                f"--goal {goal} --policy-only --cases 60 --seeds 2 --training-problems 40 "
                f"--out runs/transfer_{goal}"
            ),
        )
        for goal, words, also in (
            ("energy", "the least energy for an inference", ", one answer replayed"),
            ("latency", "the lowest p99 latency", ""),
        )
    ),
    Benchmark(
        "several",
        "several",
        "Compares the policy with schemes of placement and searches on problems with two to five "
        "networks at once, whose boards, networks and limits were held out of training.",
        "simulated",
        short=_options("--cases 16 --training-problems 0"),
    ),
    Benchmark(
        "best_configurations",
        "best_configurations",
        "Says what the best configurations of the problems of the comparison look like, and what "
        "they were before the model knew how engines share a GPU.",
        "simulated",
    ),
    Benchmark(
        "rule",
        "rule",
        "Compares the policy with the untrained rule, whose price of a broken limit is tuned so "
        "that both break limits equally often: where the belief is right or wrong, where "
        "conditions change, and for every goal.",
        "simulated",
        short=_options(
            "--settings belief_right changing --prices 0.1 --problems 40 --training-problems 40"
        ),
    ),
    Benchmark(
        "knobs",
        "knobs",
        "Trains agents that set every knob by themselves and one that chooses among proposals, for "
        "the same number of environment steps, and compares them under held-out limits.",
        "replayed and simulated",
        short=_options("--steps 20000 --problems 24 --test 16"),
    ),
    Benchmark(
        "criticality",
        "criticality",
        "Serves best effort beside a critical network on this computer, in four ways of sharing "
        "its processor, in turns with the critical network alone.",
        "measured",
        short=_options("--rounds 3 --window 2 --arrivals uniform poisson"),
    ),
    Benchmark(
        "elastic",
        "elastic",
        "Makes elastic kernels from CUDA C++, compares them with their originals on the processor, "
        "and schedules them beside critical kernels in a model of occupancy and time.",
        "measured and simulated",
    ),
    Benchmark(
        "mixes",
        "mixes",
        "Serves critical networks beside best effort on boards, request by request, in five ways "
        "of sharing the GPU, and by a choice over all accelerators.",
        "simulated",
        short=_options("--seconds 5"),
    ),
    Benchmark(
        "changing",
        "changing",
        "Changes the limits or the device in the middle of tuning, and looks at how soon the "
        "policy is back near the best answer.",
        "simulated",
        short=_options("--problems 40 --repeats 4"),
    ),
    Benchmark(
        "ending",
        "ending",
        "Lets searches end by themselves when nothing promises more than a small share, as tuning "
        "does, and compares them with searches that use all of their measurements.",
        "simulated",
        short=_options("--problems 20"),
    ),
    Benchmark(
        "replay",
        "quality",
        "Replays a recording of ResNet-50 on two processor cores, which the policy has never seen, "
        "and compares the policy with searches.",
        "replayed",
        short=_options("--objectives 10 --seeds 2 --tpe 8 --gp 3"),
    ),
    Benchmark(
        "replay_two_tenants",
        "quality",
        "The same on a recording of two networks served at once.",
        "replayed",
        full=_options("--trace resnet50_mobilenet_v2 --objectives 20 --out runs/quality_two"),
        short=_options(
            "--trace resnet50_mobilenet_v2 --objectives 6 --seeds 2 --tpe 8 --gp 3 "
            "--out runs/quality_two"
        ),
    ),
    Benchmark(
        "replay_agx_orin",
        "quality",
        "The same on six configurations of ResNet-50 on the GPU and the DLAs of an AGX Orin, made "
        "from published measurements; the median latency stands in for p99.",
        "published and replayed",
        full=_options("--trace agx_orin_resnet50 --out runs/quality_agx_orin"),
        short=_options(
            "--trace agx_orin_resnet50 --objectives 20 --seeds 2 --tpe 3 --gp 3 "
            "--out runs/quality_agx_orin"
        ),
    ),
    Benchmark(
        "replay_orin_nano",
        "quality",
        "The same on one, two and four contexts of a detector on an Orin Nano, made from published "
        "measurements; p95 stands in for p99.",
        "published and replayed",
        full=_options("--trace orin_nano_yolov8s_pose_int8 --out runs/quality_orin_nano"),
        short=_options(
            "--trace orin_nano_yolov8s_pose_int8 --objectives 20 --seeds 2 --tpe 3 --gp 3 "
            "--out runs/quality_orin_nano"
        ),
    ),
    Benchmark(
        "twin",
        "twin",
        "Keeps 40 rows of a recording at random, conditions the device model on them, trains in "
        "it, and tunes with every configuration of the recording to choose from. Errors of the "
        "twin are on rows that it did not see.",
        "simulated and replayed",
        short=_options("--quick"),
    ),
    Benchmark(
        "tails",
        "tails",
        "Tells from recorded windows of one configuration how much throughput and p99 scatter, and "
        "how heavy the tail of p99 is.",
        "measured, and published by others",
    ),
    Benchmark(
        "mapping_live",
        "mapping_live",
        "Predicts mappings of layers to FP32 and INT8 of ONNX Runtime and OpenVINO from ten "
        "measurements a network, and measures them.",
        "measured",
        short=_options("--short"),
    ),
    Benchmark(
        "live_grid",
        "live_grid",
        "For six networks that no training drew, measures every configuration of a space on this "
        "computer, lets the policy and the rule tune live under four limits drawn from that, and "
        "measures their answers in turns with the best configuration.",
        "measured",
        short=_options("--networks squeezenet1_1_64 transformer --limits 2"),
    ),
    Benchmark(
        "several_live",
        "several_live",
        "Serves three and four networks at once on this computer: lets the policy and the rule "
        "tune with 12 measurements, and measures their answers in turns with the best of 200 "
        "random and 100 hill-climbed configurations of the same run.",
        "measured",
        short=_options("--tenants 3 --random 60 --climbed 20 --turns 3 --again 2 --window 1"),
    ),
    Benchmark(
        "live_check",
        "live_check",
        "Runs what the policy chose on the built-in recording again on this computer; on another "
        "computer than the recording's the numbers differ, and the report has to say so.",
        "replayed and measured",
        short=_options("--choices 2"),
    ),
    Benchmark(
        "overhead",
        "overhead",
        "Compares the throughput of the serving runtime with a bare loop over the same sessions.",
        "measured",
        short=_options("--networks mobilenet_v2 --pairs 3 --window 1"),
    ),
    Benchmark(
        "watching",
        "watching",
        "Runs the terminal view beside a service at full load, in turns with the service alone; on "
        "a computer that others use, only the processor time of the view tells its cost.",
        "measured",
        short=_options("--pairs 4 --periods 5 --period 1"),
    ),
    Benchmark(
        "page",
        "watching",
        "Lets one viewer look at the page of a service at full load, in turns with nobody; it "
        "reads what the page sends, and draws nothing.",
        "measured",
        full=_options("--page --viewers 1"),
        short=_options("--page --viewers 1 --pairs 4 --periods 5 --period 1"),
    ),
    Benchmark(
        "page_viewers",
        "watching",
        "The same with 20 viewers.",
        "measured",
        full=_options("--page --viewers 20"),
        short=_options("--page --viewers 20 --pairs 4 --periods 5 --period 1"),
    ),
    Benchmark(
        "answers",
        "answers",
        "Trains small networks, serves their test samples through what tuning chose, and counts "
        "right answers against FP32. Agreement of the Orin's accelerators is that of copies which "
        "this computer runs.",
        "measured and simulated",
        short=_options(
            "--networks digits_0_255 digits_bytes cancer_raw cancer_folded signals detector"
        ),
    ),
    Benchmark(
        "controlling",
        "controlling",
        "Measures how long a service takes to start, and how long the policy takes to decide while "
        "all other cores are busy.",
        "measured",
        short=_options("--starts 3 --periods 100"),
    ),
    Benchmark(
        "speed",
        "speed",
        "Measures how fast the environment, the device model and training run on one core.",
        "measured",
        short=_options("--problems 24 --pairs 3 --steps 60000"),
    ),
    Benchmark(
        "faults",
        "faults",
        "Breaks a controller on purpose, with real sessions and in the model, and looks at the "
        "next control periods.",
        "measured and simulated",
        short=_options("--period-s 0.5"),
    ),
    Benchmark(
        "device_faults",
        "device_faults",
        "Lets a Jetson say no, as stand-ins for TensorRT and CUDA and as the model, and looks at "
        "the next control periods and restarts. Nothing of it ran on a GPU.",
        "simulated",
        short=_options("--only alone always once 3 kill sticks libnvdla"),
    ),
    Benchmark(
        "soak",
        "soak",
        "Serves a network under limits that change, and looks at broken limits, memory, and "
        "throughput against the best fixed configuration chosen with hindsight.",
        "measured",
        short=_options("--minutes 2 --period-s 1 --windows 1 --rounds 3"),
    ),
    Benchmark(
        "soak_model",
        "soak_model",
        "The same on many devices of the model, which wander, slow down and have neighbours.",
        "simulated",
        short=_options("--seeds 4 --periods 40"),
    ),
    Benchmark(
        "dynamic",
        "dynamic",
        "Lets tenants come and go, rates triple and limits halve on a simulated board; compares "
        "the requests that are answered within their limits with those of placements chosen with "
        "hindsight.",
        "simulated",
        short=_options("--seeds 1 --periods 30"),
    ),
    Benchmark(
        "dynamic_live",
        "dynamic",
        "The same on this computer, where the best of a small grid is what hindsight would choose.",
        "measured",
        full=_options("--live"),
        short=_options("--live --periods 15 --only 1 4 5"),
    ),
    Benchmark(
        "fleet",
        "fleet",
        "Trains one policy without workers, with one, with two, and with two of which some are "
        "killed: the weights must be equal.",
        "simulated",
        short=_options("--objectives 30"),
    ),
    Benchmark(
        "training_seeds",
        "training_seeds",
        "Trains as `make train` does with several seeds and compares each policy with the optimum "
        "on problems that no training drew.",
        "simulated",
        short=None,
        left_out="it trains three policies, and `make train` trains one",
    ),
    Benchmark(
        "ablation",
        "ablation",
        "Changes one part of the policy's training at a time and compares what comes out.",
        "simulated",
        short=None,
        left_out="it trains a dozen policies",
    ),
)
