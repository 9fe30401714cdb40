"""What ``supalab lab`` does: further arguments flow in, JupyterLab opens the course, an exit code flows out."""

from __future__ import annotations

import argparse

from supalab.errors import SettingsError

__all__ = ["add_lab", "lab"]

FIRST_NOTEBOOK = "00_start_here.ipynb"


def add_lab(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's words."""
    parser.set_defaults(run=lab)


def lab(options: argparse.Namespace) -> int:
    """Open the course in JupyterLab, without news from the network."""
    from supalab.shipped import shipped

    notebooks = shipped("notebooks")
    if not (notebooks / FIRST_NOTEBOOK).is_file():
        raise SettingsError(
            f"{notebooks} has no {FIRST_NOTEBOOK}: the course is in the project's checkout, install from it"
        )
    from jupyterlab.labapp import LabApp  # type: ignore[import-untyped,unused-ignore]  # typed from 4.7 on

    chosen = [
        f"--ServerApp.root_dir={notebooks}",
        f"--LabApp.default_url=/lab/tree/{FIRST_NOTEBOOK}",
        # No news from the network, which a workshop may not have, and nobody asked for.
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    LabApp.launch_instance([*chosen, *options.rest])  # type: ignore[no-untyped-call,unused-ignore]
    return 0
