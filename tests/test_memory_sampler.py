"""The instruments: they measure what a client adds, and leave themselves out."""

from __future__ import annotations

import asyncio
import threading
import time

from supalab.measure.instruments import LoopLag, Sampler, uss


def test_memory_that_comes_and_goes_is_in_the_peak():
    """Memory that lives only between two looks of the caller is seen by the sampler.

    So much of it, that the allocator cannot take it from what it keeps back.
    """
    sampler = Sampler(every=0.005).start()
    sampler.mark()
    block = bytearray(60_000_000)
    block[::4096] = b"x" * len(block[::4096])
    for _ in range(2):  # a look that has begun may have missed the block; the next one sees it
        looked, end = sampler.cpu_s, time.monotonic() + 30
        while sampler.cpu_s == looked and time.monotonic() < end:
            time.sleep(0.005)
    del block
    sampler.stop()
    assert 55e6 < sampler.numbers["added_bytes"] < 90e6
    assert sampler.cpu_s > 0


def test_threads_are_counted_without_the_instrument():
    """Three threads beside the main one are four, though the sampler is a thread too."""
    sampler = Sampler().start()
    sampler.mark()
    gate = threading.Event()
    threads = [threading.Thread(target=gate.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    sampler.sample()
    gate.set()
    for thread in threads:
        thread.join()
    sampler.stop()
    assert sampler.numbers["threads"] == 4


def test_uss_is_a_part_of_this_process():
    """The unique set size is a plausible number of bytes."""
    assert 1_000_000 < (uss() or 0) < 10_000_000_000


async def test_a_held_up_loop_shows_in_the_lag():
    """A blocking call of 0.2 s gives about that lag; quiet ticks are far below it."""
    ticker = LoopLag(every=0.005)
    ticker.start()
    await asyncio.sleep(0.1)
    time.sleep(0.2)  # blocks the loop, on purpose
    await asyncio.sleep(0.02)
    ticker.stop()
    assert ticker.numbers["lag_max_s"] > 0.15
    assert ticker.numbers["lag_p50_s"] < ticker.numbers["lag_max_s"] / 4


async def test_a_loop_held_up_to_the_end_is_seen_too():
    """A tick that never came counts as late as it is when the ticker stops."""
    ticker = LoopLag(every=0.005)
    ticker.start()
    time.sleep(0.1)
    ticker.stop()
    assert ticker.numbers["lag_max_s"] > 0.05


async def test_calibration_learns_a_cost_and_leaves_no_ticks():
    """After the calibration, the cost of a tick is known and no lag is recorded."""
    ticker = LoopLag()
    await ticker.calibrate(0.05)
    assert 0 < ticker.cpu_per_tick < 0.01
    assert (ticker.numbers, ticker.cpu_s) == ({}, 0)
