"""The import names are ours: a foreign package called ``streams`` would replace ours without a word."""

from __future__ import annotations

import importlib
import tomllib
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "streams", "topologies", "sinks", "api", "deploy")


@pytest.mark.parametrize("name", PACKAGES)
def test_an_import_name_belongs_to_this_distribution(name: str) -> None:
    """It is imported from here, and no other installed distribution brings it."""
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).parent == ROOT / name
    assert set(packages_distributions().get(name, [])) <= {"incidentscope"}


def test_all_packages_are_in_the_wheel_and_typed() -> None:
    """The list in pyproject.toml is by hand."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert tuple(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == PACKAGES
    assert all((ROOT / name / "py.typed").exists() for name in PACKAGES)


def test_the_console_script_is_installed() -> None:
    """``incidentscope`` starts the command line."""
    script = next(iter(entry_points(group="console_scripts", name="incidentscope")))
    assert script.load() is importlib.import_module("topologies.cli").main
