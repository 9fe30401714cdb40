"""The parts of the course: exercises judged by behaviour, stubs made from solutions, guesses, sizes for the machine."""

from __future__ import annotations

import ast
import json
import math
import re
import runpy
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_race import made_race

from supalab.course import NotDone, check, predict, size
from supalab.course.build import Task, built, cells, notebook, sources
from supalab.course.check import REASONS, Exercise, Judge, judged, tried
from supalab.course.exercises import EXERCISES
from supalab.course.feedback import Feedback, Finding, State
from supalab.errors import SettingsError
from supalab.experiments.race_figure import side_by_side, timeline
from supalab.report.plot import description

SOURCE = """# for editors only
# %% [markdown]
# # A title
#
# Prose.
# %%
x = 1
# %% exercise 03a
# hint: Divide.
# too_much: It is {n} too much.
def f(n: int) -> int:
    # <solution>
    half = n // 2
    return half
    # </solution>
    #: raise NotDone("half of it")
"""


def texts(book: str) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(book)["cells"]]


def test_a_source_gives_a_stub_and_a_solution() -> None:
    """The learner's cell has the comment's line in the solution's place; prose and other cells are the same."""
    learner, solved = notebook(SOURCE, "03_x"), notebook(SOURCE, "03_x", solved=True)
    assert texts(learner) == [
        "# A title\n\nProse.",
        "x = 1",
        'def f(n: int) -> int:\n    raise NotDone("half of it")',
    ]
    assert texts(solved) == [*texts(learner)[:2], "def f(n: int) -> int:\n    half = n // 2\n    return half"]
    assert [cell["id"] for cell in json.loads(learner)["cells"]] == ["03-01", "03-02", "03-03"]
    assert [cell["metadata"] for cell in json.loads(learner)["cells"]] == [{}, {}, {"tags": ["exercise-03a"]}]


def test_what_a_check_says_is_in_neither_notebook() -> None:
    """The texts above an exercise's code are for its check alone, by name."""
    cell = cells(SOURCE)[-1]
    assert cell.said == [("hint", "Divide."), ("too_much", "It is {n} too much.")]
    assert "Divide" not in notebook(SOURCE, "03_x") + notebook(SOURCE, "03_x", solved=True)


def reasons_of(path: Path) -> set[str]:
    """The names of the reasons that a module's judges give: conditions, and what is given otherwise."""
    found: set[str] = set()
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(call, ast.Assign)
            and isinstance(call.value, ast.Dict)
            and ast.unparse(call.targets[0]) == "reasons"
        ):
            found |= {ast.literal_eval(key) for key in getattr(call.value, "keys", ()) if key}
        name = ast.unparse(call.func) if isinstance(call, ast.Call) else ""
        name = "because" if name.endswith(".because") else name
        place = {"because": 0, "_fault": 2, "filled": 2, "equal": 3, "stop": 3, "Rounds": 3}.get(name)
        if place is None or not isinstance(call, ast.Call):
            continue
        given = call.args[place : place + 1]
        found |= {word.arg for word in call.keywords if word.arg and name in {"because", "equal"}} - {"say"}
        constants = (one for argument in given for one in ast.walk(argument) if isinstance(one, ast.Constant))
        found |= {one.value for one in constants if isinstance(one.value, str) and one.value.isidentifier()}
    return found


def test_every_reason_has_a_text_and_every_text_a_judge() -> None:
    """A judge names reasons; their texts stand above the exercise in the notebook's source, or are shared by all."""
    texts: dict[Path, set[str]] = {}
    for exercise in EXERCISES.values():
        assert len(exercise.task.hints) == 2
        path = Path(sys.modules[exercise.judge.__module__].__file__ or "")
        texts.setdefault(path, set()).update(exercise.task.reasons)
    shared = reasons_of(Path(sys.modules["supalab.course.check"].__file__ or ""))
    named = {path: reasons_of(path) for path in texts}
    assert shared == set(REASONS)
    for path, known in texts.items():
        assert named[path] <= known | shared, path.name
        # A socket left open is found in one place for two modules.
        assert known <= named[path] | shared | {"still_open", "only_status"}, path.name


def exercise_cells() -> Iterator[tuple[str, str, str]]:
    """(number, stub, solution) of every exercise in the sources."""
    for path in sources():
        for cell in cells(path.read_text(encoding="utf-8")):
            if cell.exercise:
                yield cell.exercise, cell.text(solved=False), cell.text(solved=True)


def imports_before(number: str) -> str:
    """The imports of a notebook's cells before an exercise, which its cell may use."""
    lines: list[str] = []
    path = next(path for path in sources() if path.stem.startswith(number[:2]))
    for cell in cells(path.read_text(encoding="utf-8")):
        if cell.exercise == number:
            break
        if not cell.prose:
            tree = compile(cell.text(solved=True), "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            lines += [ast.unparse(node) for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return "\n".join(lines)


def test_every_exercise_has_a_cell_and_every_cell_an_exercise() -> None:
    """Numbers agree both ways, each notebook's begin with its own number, and nothing of a solution is in a stub."""
    found = [number for number, _, _ in exercise_cells()]
    assert found == list(EXERCISES)
    for path in sources():
        numbers = [cell.exercise for cell in cells(path.read_text(encoding="utf-8")) if cell.exercise]
        assert all(number.startswith(path.stem[:2]) for number in numbers)
    for number, stub, solution in exercise_cells():
        assert stub != solution
        assert "solution>" not in stub + solution
        assert EXERCISES[number].task.solution == solution
    assert all("<solution>" not in text for text in built().values())


def made(number: str, code: str) -> Any:
    """Run an exercise's cell and return its last definition, which the notebook gives to the check."""
    scope: dict[str, Any] = {}
    exec(compile(imports_before(number), "imports", "exec"), scope)
    before = set(scope)
    exec(compile(code, "cell", "exec"), scope)
    return scope[[name for name in scope if name not in before and name != "__builtins__"][-1]]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    tried.clear()


@pytest.mark.parametrize(("number", "stub"), [(number, stub) for number, stub, _ in exercise_cells()])
async def test_every_stub_is_not_done(number: str, stub: str) -> None:
    """A shipped exercise is not solved and says so kindly. The notebooks' tests show that solutions pass."""
    fresh = await check(number, made(number, stub))
    assert (fresh.state, fresh.findings, fresh.hints) == (State.NOT_DONE, (), ())


def wrong_answers() -> dict[str, Sequence[tuple[Any, str]]]:
    """By exercise: plausible wrong answers, each with a part of the feedback that it must get."""
    found: dict[str, Sequence[tuple[Any, str]]] = {}
    for path in sorted((Path(__file__).parent / "wrong_answers").glob("nb*.py")):
        found |= runpy.run_path(str(path))["WRONG"]
    return found


WRONG = wrong_answers()


@pytest.mark.parametrize("number", EXERCISES)
async def test_plausible_wrong_answers_get_the_right_words(number: str) -> None:
    """Each is told what the lab saw and why; first one hint, then two, then the folded solution."""
    assert len(WRONG[number]) >= 3
    for tries, (answer, told) in enumerate(WRONG[number], start=1):
        found = await check(number, answer)
        assert found.state is State.LOOK_AGAIN
        assert told in " ".join(found.words)
        assert found.hints == EXERCISES[number].task.hints[:tries]
        assert found.solution == (EXERCISES[number].task.solution if tries >= 3 else "")
        assert ("<details>" in found.html()) == (tries >= 3)
        assert "wrong" not in str(found).lower()


async def test_a_right_limit_on_a_busy_machine_is_not_called_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a limit is right by arithmetic but misses the rate, the machine is blamed, not the rule."""

    async def busy(lab: object, limit: int, latency: float, wanted: float) -> float:
        return 0.5 * wanted

    monkeypatch.setattr("supalab.course.exercises.formulas._per_s", busy)
    right = await judged(EXERCISES["09a"], lambda per_s, latency: math.ceil(per_s * latency))
    assert isinstance(right, tuple)
    said = [found.words for found in right if not found.ok]
    assert said
    assert all("this machine was busy" in words for words in said)
    fewer = await judged(EXERCISES["09a"], lambda per_s, latency: max(1, int(per_s * latency)))
    assert isinstance(fewer, tuple)
    assert any("round up" in found.words for found in fewer)


def an_exercise(judge: Judge) -> Exercise:
    return Exercise(Task("99a", "a test", ("one", "two"), {}, "", ""), judge)


async def test_what_a_learners_code_raises_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error, even in a task group, or a hang never ends the notebook; a stub deep inside is still a stub."""

    async def calls(answer: Any) -> AsyncIterator[Finding]:
        await answer()
        yield Finding("it", "to run", "it ran", True)

    async def breaks() -> None:
        raise KeyError("name")

    async def hangs() -> None:
        import asyncio

        await asyncio.Event().wait()

    async def stub() -> None:
        try:
            raise ExceptionGroup("group", [NotDone("half")])
        except ExceptionGroup as error:
            raise RuntimeError("client broke") from error

    async def awaits_what_it_cancelled() -> None:
        import asyncio

        task = asyncio.ensure_future(asyncio.sleep(5))
        await asyncio.sleep(0)
        task.cancel()
        await task

    async def own_timeout() -> None:
        raise TimeoutError("mine, after 0.01 s")

    cancelled = await judged(an_exercise(calls), awaits_what_it_cancelled)
    assert isinstance(cancelled, tuple)
    assert cancelled[0].observed.startswith("CancelledError")
    late = await judged(an_exercise(calls), own_timeout)
    assert isinstance(late, tuple)
    assert late[0].observed == "TimeoutError: mine, after 0.01 s"
    monkeypatch.setattr(sys.modules["supalab.course.check"], "PATIENCE_S", 0.05)
    broke = await judged(an_exercise(calls), breaks)
    assert isinstance(broke, tuple)
    assert broke[0].observed == "KeyError: 'name'"
    hung = await judged(an_exercise(calls), hangs)
    assert isinstance(hung, tuple)
    assert "still running" in hung[0].observed
    left = await judged(an_exercise(calls), stub)
    assert isinstance(left, NotDone)
    assert str(left) == "half"
    assert isinstance(await judged(an_exercise(calls), ...), NotDone)


async def test_a_failed_task_is_not_reported_below_a_cell(caplog: pytest.LogCaptureFixture) -> None:
    """A task that the answer forgets and that fails afterwards: the finding is enough, no traceback is shown."""

    async def forgets(answer: Any) -> AsyncIterator[Finding]:
        await answer()
        yield Finding("it", "to run", "it ran", True)

    async def leaves_a_failed_task() -> None:
        import asyncio

        async def fails() -> None:
            raise LookupError

        task = asyncio.ensure_future(fails())
        await asyncio.sleep(0)
        del task

    await judged(an_exercise(forgets), leaves_a_failed_task)
    assert caplog.records == []


async def test_a_check_without_await_says_so() -> None:
    """No bare coroutine, no warning later: one line with the word that is missing."""
    assert 'await check("01a"' in repr(check("01a", ...))
    assert "The stub says: replace the three dots" in str(await check("01a", ...))


async def test_an_unknown_exercise_is_told_what_there_is() -> None:
    """A mistyped number does not count as a failed try."""
    with pytest.raises(SettingsError, match="choose from 00a"):
        await check("1a", None)


async def test_numbers_of_numpy_are_numbers_for_08a() -> None:
    """An answer computed with numpy, whose bool is not Python's, counts the same."""
    import numpy as np

    def gain(before: Sequence[Any], after: Sequence[Any]) -> tuple[Any, ...]:
        found = np.array(before) - np.array(after)
        return np.median(found), found.min(), found.max(), np.all(found > 0) | np.all(found < 0)

    assert (await check("08a", gain)).passed


def test_feedback_is_text_and_html_without_colour() -> None:
    """Marks and words carry the meaning; what a learner wrote is escaped."""
    finding = Finding("<b>", "1 & 2", "3", False, "Look <again>.")
    said = Feedback("01a", "a title", State.LOOK_AGAIN, (finding,), ("first", "second"), "x < 1")
    assert "✗ <b>: 3 (expected 1 & 2)" in str(said)
    assert "not yet." in said.headline
    agreed = replace(finding, ok=True)
    assert "nearly." in replace(said, findings=(finding, agreed)).headline
    assert all(text in said.html() for text in ("&lt;b&gt;", "1 &amp; 2", "Look &lt;again&gt;.", "x &lt; 1", "✗"))
    assert "color" not in said.html()
    assert "in <code>a &lt; b</code>." in replace(said, hints=("in `a < b`.", "")).html()
    twice = Feedback("01a", "a title", State.LOOK_AGAIN, (finding, finding))
    assert twice.words == ("Look <again>.",)


@pytest.mark.parametrize(
    ("value", "measured", "said"),
    [
        (None, 3.0, "Measured: 3 s"),
        (3.1, 3.0, "spot on"),
        (9.0, 3.0, "too high by a factor of 3.0"),
        (0.0, 3.0, "0 s for"),
    ],
)
def test_a_guess_is_compared_with_what_was_measured(value: float | None, measured: float, said: str) -> None:
    """Kindly, and skipping is allowed."""
    assert said in predict("x", value).compare(measured)
    assert predict("x", value).value == value


@pytest.mark.parametrize("value", [-1, math.inf, math.nan, "5", True])
def test_a_guess_that_is_no_number_is_refused(value: Any) -> None:
    """In one line that says what to write."""
    with pytest.raises(SettingsError, match="write e.g. 5, or None to skip it"):
        predict("x", value)


def test_a_guess_is_drawn_and_described() -> None:
    """The dashed line stands at the guess, the axis reaches it, and the description has it; no guess, no line."""
    trials = made_race("fake-3", "real-3")
    with_guess, without = timeline(trials, guesses={"fake-3": 40.0, "real-3": None}), timeline(trials)
    lines = [[line for line in ax.lines if line.get_linestyle() == "--"] for ax in with_guess.axes]
    assert [line.get_xdata()[0] for panel in lines for line in panel] == [40.0]
    assert with_guess.axes[0].get_xlim()[1] > 40.0
    assert "The guess for fake-3 was 40.0 s." in description(with_guess)
    assert not [line for ax in without.axes for line in ax.lines if line.get_linestyle() == "--"]
    beside = side_by_side(trials, guesses={"fake-3": None, "real-3": 40.0})
    assert [line.get_xdata()[0] for ax in beside.axes for line in ax.lines if line.get_linestyle() == "--"] == [40.0]
    assert beside.axes[0].get_xlim()[1] > 40.0
    assert "The guess for real-3 was 40.0 s." in description(beside)


def test_sizes_fit_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's share counts, not the machine it runs on; a small one gets a third, never less than needed."""
    quota = tmp_path / "cpu.max"
    quota.write_text("50000 100000\n", encoding="ascii")
    assert size.cpus(quota) == 0.5
    quota.write_text("max 100000\n", encoding="ascii")
    assert size.cpus(quota) == size.cpus(tmp_path / "none") >= 1
    limit = tmp_path / "memory.max"
    limit.write_text("1000000\n", encoding="ascii")
    assert size.memory_bytes(limit) == 1_000_000
    assert size.memory_bytes(tmp_path / "none") > 100_000_000
    monkeypatch.setattr(size, "small", lambda: True)
    assert (size.sized(60), size.sized(60, at_least=30)) == (20, 30)
    monkeypatch.setattr(size, "small", lambda: False)
    assert size.sized(60) == 60


def test_a_hubs_limits_count_where_no_container_shows_them(tmp_path: Path) -> None:
    """JupyterHub and Binder set them in the environment; the smallest limit counts, other text is ignored."""
    quota, limit = tmp_path / "cpu.max", tmp_path / "memory.max"
    whole, all_of_it = size.cpus(quota, {}), size.memory_bytes(limit, {})
    assert size.cpus(quota, {"CPU_LIMIT": "0.5"}) == 0.5
    assert size.memory_bytes(limit, {"MEM_LIMIT": "1073741824"}) == 1024**3
    for nonsense in ("", "much", "0", "nan", "1e9999"):
        assert size.cpus(quota, {"CPU_LIMIT": nonsense}) == whole
        assert size.memory_bytes(limit, {"MEM_LIMIT": nonsense}) == all_of_it
    quota.write_text("25000 100000\n", encoding="ascii")
    limit.write_text("1000000\n", encoding="ascii")
    assert size.cpus(quota, {"CPU_LIMIT": "0.5"}) == 0.25
    assert size.memory_bytes(limit, {"MEM_LIMIT": "1073741824"}) == 1_000_000


def test_minutes_are_declared_by_every_notebook() -> None:
    """A timetable can be made of them."""
    for path in sources():
        assert re.search(r"^# \*\*\d+ minutes\.\*\*", path.read_text(encoding="utf-8"), re.MULTILINE), path.name
