"""What ``supalab serve`` does: parsed options flow in, a lab runs in the foreground, an exit code flows out."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_serve", "serve"]


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's words."""
    parser.set_defaults(run=serve)
    parser.add_argument("--port", type=int, default=0, metavar="N", help="0 takes a free one (0)")
    parser.add_argument("--latency", type=float, default=0.0, metavar="S", help="seconds for each request (0)")
    parser.add_argument("--jitter", type=float, default=0.0, metavar="S", help="seconds around it, at random (0)")
    parser.add_argument("--rtt", type=float, default=0.0, metavar="S", help="seconds of a round trip (0)")
    parser.add_argument("--tls", action="store_true", help="https with a certificate of the lab's own authority")
    parser.add_argument("--error-rate", type=float, default=0.0, metavar="P", help="share of requests that fail (0)")
    parser.add_argument("--seed", type=Path, metavar="FILE", help=".sql script or .csv table to serve (contests)")


def serve(options: argparse.Namespace) -> int:
    """Serve a lab in the foreground until Ctrl-C or SIGTERM."""
    from supalab.lab.conditions import Conditions, ServeOptions
    from supalab.lab.server import serve as run

    conditions = Conditions(options.latency, options.jitter, options.rtt, options.tls, options.error_rate)
    return run(ServeOptions(port=options.port, conditions=conditions, seed=options.seed))
