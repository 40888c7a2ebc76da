"""The console script `orin-tuner`: `orin-tuner VERB` is the same as `python -m tuner.VERB`."""

import difflib
import os
import sys

VERBS = {
    "tune": "find the best configuration of a network on a device, within limits",
    "record": "measure many configurations, into a trace",
    "deploy": "serve on this device and keep the limits",
    "watch": "look at a running service, recording or training in the terminal",
    "export": "write a configuration for Triton, DeepStream or trtexec",
    "map": "divide the layers of a network among accelerators, by the device model",
    "networks": "write published networks as ONNX files, to try things with",
    "train": "train a policy",
    "evaluate": "compare tuners",
    "episodes": "play episodes and write them as a Minari dataset",
}


def main() -> int:
    """Run the command that the first argument names."""
    verb = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if verb in VERBS:
        os.execv(sys.executable, [sys.executable, "-m", f"tuner.{verb}", *sys.argv[2:]])
    if verb in ("--help", "-h"):
        print("usage: orin-tuner VERB [--flag value ...]\n")
        print("\n".join(f"  {name:<10} {text}" for name, text in VERBS.items()))
        print("\norin-tuner VERB --help says more; python -m tuner.VERB is the same.")
        return 0
    close = difflib.get_close_matches(verb, VERBS, 1)
    hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(VERBS)}"
    print(f"error: there is no command {verb}: {hint}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
