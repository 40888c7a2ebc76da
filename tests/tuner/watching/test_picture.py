"""What the view says of a moment, without a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from envs.spec import Configuration
from tests.tuner.watching.journals import FAILED, LARGE, event, named, period, write
from tests.worlds import respond
from tuner.control.events import EventKind
from tuner.control.guard import Phase
from tuner.control.period import Period
from tuner.watching.curves import Line
from tuner.watching.moments import LearningRow, News
from tuner.watching.picture import PHASES, Picture, picture_of
from tuner.watching.sources import JournalSource
from tuner.watching.state import MOST_MOMENTS, Mood, Watched, with_news
from tuner.watching.values import fitted, text, width_of


def watched(path: Path, *periods: Period, age_s: float = 1.0) -> Watched:
    source = JournalSource(write(path / "j", *periods))
    return with_news(Watched("j"), replace(source.poll(), age_s=age_s))


def words(lines: Sequence[Line]) -> str:
    return "\n".join("".join(part for part, _ in line) for line in lines)


def test_every_phase_of_a_service_has_words() -> None:
    assert set(PHASES) == {each.value for each in Phase}


@pytest.mark.parametrize(
    ("last", "age_s", "badge", "sentence"),
    [
        (period(3, Phase.SEARCHING), 1.0, "SEARCHING", "tries a configuration"),
        (period(3), 1.0, "HOLDING", "serves the best that kept the limits"),
        (period(3, limit_ms=1.0), 1.0, "LIMIT BROKEN", "p99 of net0 is 30.4 ms, over 1"),
        (period(3, outcome=FAILED), 1.0, "NOT MEASURED", "timed_out: no request was answered"),
        (period(3), 16.0, "GONE", "nothing new for 16 s"),
        (period(3), 7200.0, "GONE", "nothing new for 2 h"),
    ],
)
def test_the_badge_says_how_it_stands(
    tmp_path: Path, last: Period, age_s: float, badge: str, sentence: str
) -> None:
    found = picture_of(watched(tmp_path, period(1), period(2), last, age_s=age_s))
    assert found.badge[0] == badge
    assert sentence.split(" is ")[0] in found.sentence[0]


def test_nothing_to_read_yet_is_idle_and_says_why(tmp_path: Path) -> None:
    state = with_news(Watched("j"), JournalSource(tmp_path / "none").poll())
    found = picture_of(state)
    assert found.badge[0] == "IDLE"
    assert "No such file" in found.sentence[0]


def test_a_journal_that_was_moved_away_is_gone_and_says_why(tmp_path: Path) -> None:
    source = JournalSource(write(tmp_path / "run.jsonl", period(1)))
    state = with_news(Watched("j"), source.poll())
    (tmp_path / "run.jsonl").unlink()
    found = picture_of(with_news(state, source.poll()))
    assert found.badge[0] == "GONE"
    assert found.sentence[0].endswith("No such file or directory: this is the last that it showed")


def test_the_grid_shows_who_runs_where_in_the_colour_of_the_load(tmp_path: Path) -> None:
    p99_ms = respond(named("net0"), LARGE).tenants[0].p99_ms
    for limit_ms, mood in (
        (2 * p99_ms, Mood.GOOD),
        (1.1 * p99_ms, Mood.NEAR),
        (0.9 * p99_ms, Mood.BROKEN),
        (math.inf, Mood.PLAIN),
    ):
        folder = tmp_path / str(limit_ms)
        folder.mkdir()
        state = watched(folder, period(1, configuration=LARGE, limit_ms=limit_ms))
        grid = picture_of(state).grid
        slot, *_ = state.moments[0].tenants[0].slots
        assert slot.accelerator in words(grid[:1])
        cells = [each for each in grid[1] if each[0].strip() == f"{slot.instances}x{slot.batch}"]
        assert {cell[1] for cell in cells} == {mood}


def test_no_line_is_wider_than_the_screen_whatever_the_names(tmp_path: Path) -> None:
    world = named("n" * 300, "图像" * 30, "a\x1b[31m\nb", "[bold red]x[/]")
    rows = tuple(((1, 1), (1, 1)) for _ in range(4))
    only = period(1, configuration=Configuration(rows), world=world)
    source = JournalSource(write(tmp_path / "j", only, world=world))
    state = with_news(Watched("j"), source.poll())
    for width in (40, 78, 158):
        grid = picture_of(state, size=(width, 24)).grid
        assert len(grid) == 5
        assert all(width_of(line) <= width for line in words(grid).split("\n"))
        assert "\x1b" not in words(grid)
    assert "[bold red]x[/]" in words(picture_of(state, size=(158, 50)).grid)


def test_the_chosen_tenant_has_a_line_however_many_there_are(tmp_path: Path) -> None:
    world = named(*(f"t{i:02}" for i in range(20)))
    configuration = Configuration(tuple(((1, 1), (0, 0)) for _ in range(20)))
    only = period(1, configuration=configuration, world=world)
    source = JournalSource(write(tmp_path / "j", only, world=world))
    state = with_news(Watched("j"), source.poll())
    for chosen, name in ((0, "t00"), (13, "t13"), (19, "t19"), (21, "t01")):
        told = words(picture_of(state, tenant=chosen).grid)
        assert name in told
        assert "and 15 more tenants" in told


def test_looking_back_shows_what_was_known_then(tmp_path: Path) -> None:
    state = watched(
        tmp_path,
        period(1, events=[event("first")]),
        period(2, limit_ms=1.0, events=[event("second", EventKind.CLIENT_ENDED)]),
        period(3, events=[event("third")]),
    )
    now, then = picture_of(state), picture_of(state, 1)
    assert (now.badge[0], then.badge[0]) == ("HOLDING", "LIMIT BROKEN")
    assert "LOOKING BACK 1" in words([then.head])
    assert [line[1][0] for line in then.notices] == ["second", "first"]
    assert then.notices[0][1][1] is Mood.BROKEN
    assert [len(each.values) for each in then.curves] == [2, 2, 2]
    assert "limits kept 1 of 2" in words(then.facts)
    assert picture_of(state, 99).badge == picture_of(state, 2).badge


def test_a_long_path_keeps_its_end_and_hides_nothing(tmp_path: Path) -> None:
    state = replace(watched(tmp_path, period(7)), title="/" + "folder/" * 40 + "run.jsonl")
    head = words([picture_of(state, 0, size=(60, 24)).head])
    assert "period 7" in head
    assert "LOOKING BACK 0" in head
    assert head.endswith("r/run.jsonl")
    assert len(head) + len(" HOLDING ") + 6 <= 60


def test_agreement_heat_and_throttling_are_told_and_what_is_missing_is_a_dash(
    tmp_path: Path,
) -> None:
    outcome = replace(respond(named("net0"), LARGE), throttled=("thermal",), temperature_c=71.5)
    hot = watched(tmp_path, period(1, configuration=LARGE, outcome=outcome))
    told = words(picture_of(hot).facts)
    assert "temperature 72 °C  throttled thermal" in told
    assert "agreement 1 net0" in told
    cold = replace(hot, moments=(replace(hot.moments[0], throttled=None, temperature_c=math.nan),))
    assert "temperature -  throttled -" in words(picture_of(cold).facts)
    assert words(picture_of(hot).notices) == "none yet"
    assert words(picture_of(cold).notices) == "metrics have none: the journal has them"


def test_a_training_has_curves_of_its_own() -> None:
    rows = [LearningRow(100.0 * i, 10.0 * i, 0.5, 0.1, 2.0 * i) for i in range(1, 4)]
    found = picture_of(with_news(Watched("run"), News(rows=rows, age_s=1.0)))
    assert found.badge[0] == "TRAINING"
    assert [list(each.values) for each in found.curves] == [[0.5] * 3, [0.1] * 3]
    assert "30 episodes, 6 s" in words(found.facts)


def test_memory_is_bounded_and_another_file_begins_anew(tmp_path: Path) -> None:
    state = watched(tmp_path, period(1), period(2))
    for _ in range(5):
        state = with_news(state, News(moments=state.moments * 500))
    assert len(state.moments) == MOST_MOMENTS
    state = with_news(state, News(moments=state.moments[:1], anew=True))
    assert len(state.moments) == 1


def test_text_that_does_not_print_moves_no_cursor() -> None:
    assert text("a\x1b[2J\nb\u202ec") == "a?[2J?b?c"
    assert fitted("图像处理", 5) == "图像…"
    assert width_of(fitted("图像处理", 4)) == 4
    assert fitted("abc", 0) == ""
    assert isinstance(picture_of(Watched("x")), Picture)
