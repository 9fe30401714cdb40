"""All exercises by number: their texts come from the notebooks' sources, their judges from the modules here."""

from __future__ import annotations

from collections.abc import Mapping

from supalab.course.build import tasks
from supalab.course.check import Exercise, Judge
from supalab.course.exercises import clients, comparing, concurrency, formulas, requests_and_errors, service

JUDGES: Mapping[str, Judge] = {
    "00a": concurrency.limited,
    "01a": formulas.makespans,
    "02a": concurrency.unblocked,
    "03a": clients.lazy,
    "04a": requests_and_errors.inserted,
    "04b": requests_and_errors.updated,
    "05a": clients.closed,
    "05b": concurrency.continued,
    "06a": requests_and_errors.errors_seen,
    "07a": comparing.isolated,
    "08a": formulas.savings,
    "09a": formulas.limits,
    "10a": service.settings,
    "11a": formulas.contradiction,
    "12a": clients.really_async,
}
EXERCISES: Mapping[str, Exercise] = {task.number: Exercise(task, JUDGES[task.number]) for task in tasks()}
