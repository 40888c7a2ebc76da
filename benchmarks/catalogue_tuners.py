"""The policy, the rule and searches on problems that the device model draws."""

from __future__ import annotations

from benchmarks.benchmark import Benchmark, options

TUNERS = (
    Benchmark(
        "transfer",
        "transfer",
        "Compares the policy with searches on problems whose boards, networks and limits were held "
        "out of training.",
        "simulated",
        short=options("--quick --cases 120 --seeds 3"),
    ),
    Benchmark(
        "mapping_space",
        "mapping_space",
        "Compares the policy with the rule where mappings of layer groups are choices beside whole "
        "accelerators, and prints what the best configuration gains by them.",
        "simulated",
        short=options("--quick"),
    ),
    Benchmark(
        "transfer_two_tenants",
        "transfer",
        "The same comparison where every problem serves two networks at once.",
        "simulated",
        full=options("--two-tenants --cases 60 --seeds 3 --out runs/transfer_two_tenants"),
        short=None,
        left_out="finding the optimum of two-network problems takes ten minutes or more",
    ),
    *(
        Benchmark(
            f"transfer_{goal}",
            "transfer",
            f"The same comparison where the goal is {words}: a share is of the best by that goal.",
            "simulated" + also,
            full=options(f"--goal {goal} --cases 120 --seeds 3 --out runs/transfer_{goal}"),
            short=options(
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
        short=options("--cases 16 --training-problems 0"),
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
        short=options(
            "--settings belief_right changing --prices 0.1 --problems 40 --training-problems 40"
        ),
    ),
    Benchmark(
        "knobs",
        "knobs",
        "Trains agents that set every knob by themselves and one that chooses among proposals, for "
        "the same number of environment steps, and compares them under held-out limits.",
        "replayed and simulated",
        short=options("--steps 20000 --problems 24 --test 16"),
    ),
)
