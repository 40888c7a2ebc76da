"""Tuning while things change, to its own end, and on recordings."""

from __future__ import annotations

from benchmarks.benchmark import Benchmark, options

TUNING = (
    Benchmark(
        "changing",
        "changing",
        "Changes the limits or the device in the middle of tuning, and looks at how soon the "
        "policy is back near the best answer.",
        "simulated",
        short=options("--problems 40 --repeats 4"),
    ),
    Benchmark(
        "ending",
        "ending",
        "Lets searches end by themselves when nothing promises more than a small share, as tuning "
        "does, and compares them with searches that use all of their measurements.",
        "simulated",
        short=options("--problems 20"),
    ),
    Benchmark(
        "replay",
        "quality",
        "Replays a recording of ResNet-50 on two processor cores, which the policy has never seen, "
        "and compares the policy with searches.",
        "replayed",
        short=options("--objectives 10 --seeds 2 --tpe 8 --gp 3"),
    ),
    Benchmark(
        "replay_two_tenants",
        "quality",
        "The same on a recording of two networks served at once.",
        "replayed",
        full=options("--trace resnet50_mobilenet_v2 --objectives 20 --out runs/quality_two"),
        short=options(
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
        full=options("--trace agx_orin_resnet50 --out runs/quality_agx_orin"),
        short=options(
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
        full=options("--trace orin_nano_yolov8s_pose_int8 --out runs/quality_orin_nano"),
        short=options(
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
        short=options("--quick"),
    ),
    Benchmark(
        "tails",
        "tails",
        "Tells from recorded windows of one configuration how much throughput and p99 scatter, and "
        "how heavy the tail of p99 is.",
        "measured, and published by others",
    ),
)
