"""A loop with nothing to do: nothing goes in, how late its ticks come on this machine comes out."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from supalab.measure.machine import machine, versions
from supalab.measure.memory import LoopLag

__all__ = ["IDLE_S", "idle"]

#: Seconds of ticking.
IDLE_S = 1.5


async def idle(ticker_s: float, seconds: float = IDLE_S) -> dict[str, Any]:
    """Tick beside nothing at all; JSON-ready. What every other lag on this machine has in it."""
    ticker = LoopLag(ticker_s)
    ticker.start()
    await asyncio.sleep(seconds)
    ticker.stop()
    return {"loop_lag": asdict(ticker.lag) if ticker.lag else None, "machine": machine(), "versions": versions()}
