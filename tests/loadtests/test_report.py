"""A load test says which goals it met; being slow is reported, being wrong fails."""

import json

import pytest

from loadtests.report import Goal, Measured, Options, conclude

FIGURES = {"live_s": Measured((0.1, 0.2, 0.3), "s")}


def told(capsys: pytest.CaptureFixture[str], **goals: Goal) -> dict[str, object]:
    conclude("x", Options(quick=True, as_json=True), FIGURES, goals=goals, sentence="it went well")
    document: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return document


def test_each_goal_is_told_with_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    document = told(capsys, live_s=Goal(0.2, at_most=0.05), seed_per_s=Goal(60_000, at_least=50_000))
    assert document["goals"] == {
        "live_s": {"at_most": 0.05, "measured": 0.2, "met": False},
        "seed_per_s": {"at_least": 50_000, "measured": 60_000, "met": True},
    }


@pytest.mark.parametrize(("measured", "is_met"), [(0.0, True), (0.05, True), (0.051, False)])
def test_a_limit_is_within_the_goal(measured: float, is_met: bool) -> None:
    assert Goal(measured, at_most=0.05).is_met == is_met
    assert Goal(-measured, at_least=-0.05).is_met == is_met


def test_a_figure_that_must_hold_and_does_not_fails_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, mixtures=Goal(0, at_most=0, must_hold=True))
    with pytest.raises(SystemExit, match="mixtures"):
        told(capsys, live_s=Goal(0.2, at_most=0.05), mixtures=Goal(1, at_most=0, must_hold=True))
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["live_s"] == 0.2, "the figures are told all the same"


def test_the_sentence_names_the_missed_goals(capsys: pytest.CaptureFixture[str]) -> None:
    goals = {"live_s": Goal(0.2, at_most=0.05), "mixtures": Goal(0, at_most=0)}
    conclude("x", Options(quick=True, as_json=False), FIGURES, goals=goals, sentence="it went well")
    assert capsys.readouterr().out == "it went well; 1 of 2 goals met, missed: live_s (0.2, goal at most 0.05)\n"
