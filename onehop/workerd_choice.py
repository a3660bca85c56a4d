"""Which workerd runs the functions of a data folder: the one that was named, else the one that npm brought into it."""

from pathlib import Path

from functions.installation import installed_program
from onehop.config import Config
from onehop.data_folder import DataFolder


def chosen_workerd(config: Config) -> Path | None:
    """Not whether it works: `functions.installation.examine` finds out."""
    return config.workerd if config.workerd is not None else installed_program(DataFolder(config.data).functions)
