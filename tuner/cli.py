"""What every command shares: Hydra, one way to report an error, and options written as `--p99-ms 50` if people like that better."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from envs.errors import DependencyError, OptionError, TunerError
from envs.optional import optional_import
from tuner.options import shipped

CONF = shipped("conf")

#: Hydra's own flags, which are not ours to translate.
HYDRA_FLAGS = {
    *(
        "help",
        "hydra-help",
        "version",
        "cfg",
        "resolve",
        "package",
        "run",
        "multirun",
        "shell-completion",
    ),
    *("config-path", "config-name", "config-dir", "experimental-rerun", "info"),
}

Options = TypeVar("Options")


def run_command(
    config_name: str, options: type[Options], task: Callable[[Options], int | None]
) -> None:
    """Read `conf/<config_name>.yaml` and the command line into `options`, run `task`, exit with its code.

    A `TunerError` ends in one line on stderr and its exit code; Ctrl-C in 130, after `task` has put its things away.
    """
    try:
        hydra = optional_import("hydra", "tune")
        omegaconf = optional_import("omegaconf", "tune")
        store = optional_import("hydra.core.config_store", "tune").ConfigStore.instance()
    except DependencyError as error:
        sys.exit(f"error: {error}")
    store.store(name=f"{config_name}_options", node=options)
    sys.argv[1:] = as_overrides(sys.argv[1:])
    try:
        check_overrides(hydra, config_name, sys.argv[1:])
    except OptionError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)

    def main(config: Any) -> None:
        try:
            code = task(read_options(omegaconf, config))
        except KeyboardInterrupt:
            print("interrupted; what was completed is kept", file=sys.stderr)
            code = 130
        except TunerError as error:
            print(f"error: {error}", file=sys.stderr)
            code = error.exit_code
        if code:
            sys.exit(code)

    hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(main)()


def check_overrides(hydra: Any, config_name: str, arguments: list[str]) -> None:
    """OptionError, in one sentence, for an option that does not exist or has the wrong type. Hydra itself says it in several lines."""
    if any(argument.startswith("-") for argument in arguments):
        return  # a flag may ask for another configuration, so Hydra has the word
    omegaconf = optional_import("omegaconf.errors", "tune")
    errors = (hydra.errors.HydraException, omegaconf.OmegaConfBaseException)
    try:
        with hydra.initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
            hydra.compose(config_name, overrides=arguments)
    except errors as error:
        cause = error.__cause__ if isinstance(error.__cause__, errors) else None
        said = [
            str(each).strip().splitlines()[0].rstrip(".")
            for each in (error, cause)
            if each is not None and str(each).strip()
        ]
        raise OptionError(f"{': '.join(dict.fromkeys(said))} (see --help)") from error


def read_options(omegaconf: Any, config: Any) -> Any:
    """The options as dataclasses; OptionError names the key that is wrong or missing."""
    try:
        return omegaconf.OmegaConf.to_object(config)
    except omegaconf.errors.MissingMandatoryValue as error:
        raise OptionError(f"{error.full_key} is missing: give {error.full_key}=VALUE") from error
    except omegaconf.errors.OmegaConfBaseException as error:
        raise OptionError(str(error).splitlines()[0]) from error


def as_overrides(arguments: list[str]) -> list[str]:
    """`--p99-ms 50` and `--p99-ms=50` as Hydra's `p99_ms=50`; everything else as it is."""
    overrides: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument[2:].partition("=")
        if not argument.startswith("--") or name in HYDRA_FLAGS or not name:
            overrides.append(argument)
            continue
        given = value if equals else next(rest, "")
        overrides.append(f"{name.replace('-', '_')}={quoted(given)}")
    return overrides


def quoted(value: str) -> str:
    """A value that Hydra's grammar reads as it stands; lists and plain words need no quotes."""
    plain = value.replace("_", "").replace("-", "").replace(".", "").replace("/", "").isalnum()
    return (
        value
        if plain or value[:1] in "[{'\""
        else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    )
