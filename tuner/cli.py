"""Run the commands that compose a configuration with Hydra (train, evaluate)."""

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from envs.errors import OptionError
from envs.optional import optional_import
from tuner.console import exit_code, show_log
from tuner.folders import shipped
from tuner.overrides import quoted_overrides

CONF = shipped("conf")

#: Flags of Hydra itself.
HYDRA_FLAGS = {
    *("help", "hydra-help", "version", "cfg", "resolve", "package", "run", "multirun"),
    *("shell-completion", "config-path", "config-name", "config-dir"),
    *("experimental-rerun", "info"),
}

Options = TypeVar("Options")


def run_command(
    config_name: str, options: type[Options], task: Callable[[Options], int | None]
) -> None:
    """Read `conf/<config_name>.yaml` and the command line, run a task, and exit with its code.

    A `TunerError` ends in one line on standard error; Ctrl-C in 130, after the task has put its
    things away.

    Args:
        config_name: of the file.
        options: a dataclass, stored for the file as `<config_name>_options`.
        task: gets the options, and returns an exit code or None.
    """
    show_log()
    sys.exit(exit_code(lambda: _run(config_name, options, task)))


def _run(config_name: str, options: type[Options], task: Callable[[Options], int | None]) -> int:
    hydra, omegaconf = optional_import("hydra", "train"), optional_import("omegaconf", "train")
    _store(config_name, options)
    for argument in sys.argv[1:]:
        name, _, value = argument[2:].partition("=")
        if argument.startswith("--") and name not in HYDRA_FLAGS:
            key = name.replace("-", "_")
            raise OptionError(f"{argument}: write {key}={value or 'VALUE'} (see --help)")

    sys.argv[1:] = quoted_overrides(sys.argv[1:], _parser(hydra.errors))

    def main(config: Any) -> None:
        # Hydra would report an error of the task in two lines, so it only sees the exit.
        if code := exit_code(lambda: task(_options_of(config, omegaconf))):
            sys.exit(code)

    run = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(main)
    errors = (hydra.errors.HydraException, omegaconf.errors.OmegaConfBaseException)
    # Hydra then raises errors of composition, instead of printing them over many lines.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    try:
        run()
    except errors as error:
        cause = error.__cause__ if isinstance(error.__cause__, errors) else None
        lines = [str(each).strip() for each in (error, cause) if each is not None]
        first = dict.fromkeys(each.splitlines()[0].rstrip(".") for each in lines if each)
        raise OptionError(f"{': '.join(first)} (see --help)") from error
    return 0


def composed(config_name: str, options: type[Options], *overrides: str) -> Options:
    """Return the options that a command would run with.

    Args:
        config_name: as `run_command` takes it.
        options: the same.
        overrides: words of the command line.
    """
    hydra, omegaconf = optional_import("hydra", "train"), optional_import("omegaconf", "train")
    _store(config_name, options)
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        found: Options = _options_of(hydra.compose(config_name, list(overrides)), omegaconf)
    return found


def _store(config_name: str, options: type[Options]) -> None:
    """Store the dataclass under the name that the file of the command has for it."""
    conf = optional_import("omegaconf", "train").OmegaConf
    store = optional_import("hydra.core.config_store", "train").ConfigStore.instance()
    store.store(name=f"{config_name}_options", node=_writable(conf.structured(options), conf))


def _parser(errors: Any) -> Callable[[str], bool]:
    """Return a function that tells whether Hydra reads an override as one value."""
    grammar = optional_import("hydra.core.override_parser.overrides_parser", "train")
    parser = grammar.OverridesParser.create()

    def parses(override: str) -> bool:
        try:
            return not parser.parse_override(override).is_sweep_override()
        except errors.HydraException:
            return False

    return parses


def _writable(node: Any, conf: Any) -> Any:
    """Return the node with every part writable: parts made from frozen dataclasses are not."""
    conf.set_readonly(node, False)
    for key in node:
        child = node._get_node(key)
        if conf.is_dict(child) and not child._is_none():
            _writable(child, conf)
    return node


def _options_of(config: Any, omegaconf: Any) -> Any:
    """Return the options as dataclasses; OptionError names the key that is wrong or missing."""
    try:
        return omegaconf.OmegaConf.to_object(config)
    except omegaconf.errors.MissingMandatoryValue as error:
        raise OptionError(f"{error.full_key} is missing: give {error.full_key}=VALUE") from error
    except omegaconf.errors.OmegaConfBaseException as error:
        raise OptionError(str(error).splitlines()[0]) from error
