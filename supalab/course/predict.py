"""Note a learner's guess before a measurement, in a form that the charts can draw."""

from __future__ import annotations

import math
from dataclasses import dataclass

from supalab.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Guess:
    """A learner's guess: ``value`` in ``unit``, ``None`` if they skip it."""

    about: str
    value: float | None = None
    unit: str = "s"

    def __repr__(self) -> str:
        if self.value is None:
            return f"No guess for {self.about}. You can continue without a guess."
        return f"Noted: {self.value:g} {self.unit} for {self.about}."

    def compare(self, measured: float) -> str:
        """Return the guess and the measured value in friendly words."""
        if self.value is None:
            return f"Measured: {measured:.3g} {self.unit} for {self.about}."
        seen = f"{measured:.3g} {self.unit} {'was' if measured == 1 else 'were'} measured"
        said = f"You guessed {self.value:g} {self.unit} for {self.about}, and {seen}"
        if not self.value or measured <= 0:
            return f"{said}."
        times = max(self.value / measured, measured / self.value)
        if times < 1.15:
            return f"{said}: spot on."
        way = "high" if self.value > measured else "low"
        # On its own line, because JupyterLab breaks long lines in the middle of a word.
        return f"{said}: your guess is too {way} by a factor of {times:.1f}."


def predict(about: str, value: float | None = None, *, unit: str = "s") -> Guess:
    """Note what you expect before you measure; ``None`` skips it. Raises SettingsError if it is not a number."""
    if value is not None:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < 0:
            raise SettingsError(f"a guess of {value!r} is not a number from 0: write e.g. 5, or None to skip it")
    return Guess(about, None if value is None else float(value), unit)
