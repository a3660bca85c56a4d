"""Who rests, who is watched in a cell, and who runs with the others."""

from functions.probation import FORGOTTEN_AFTER_S, REST_S, REST_S_MAX, Probation


def test_a_bundle_that_can_only_have_been_it_rests_longer_each_time() -> None:
    probation, now_s, rests = Probation(), 0.0, []
    for _ in range(10):
        probation.note_loss(["loop"], now_s, is_certain=True)
        resting = probation.resting("loop", now_s)
        assert resting is not None
        rests.append(resting.left_s)
        now_s += resting.left_s
        assert probation.resting("loop", now_s) is None
    assert rests[:3] == [REST_S, 2 * REST_S, 4 * REST_S]
    assert max(rests) == REST_S_MAX


def test_one_of_several_suspects_needs_a_cell_until_it_has_answered() -> None:
    probation = Probation()
    probation.note_loss(["a", "b"], 0.0, is_certain=False)
    assert probation.resting("a", 0.0) is None
    assert probation.needs_cell("a", 1.0)
    assert probation.needs_cell("b", 1.0)
    probation.note_answer("a")
    assert not probation.needs_cell("a", 1.0)
    assert probation.needs_cell("b", 1.0)


def test_a_suspect_of_the_second_time_stays_in_its_cell_for_a_while_after_it_answered() -> None:
    probation = Probation()
    for now_s in (0.0, 1.0):
        probation.note_loss(["a", "b"], now_s, is_certain=False)
        probation.note_answer("a")
    assert probation.needs_cell("a", 2.0)
    assert not probation.needs_cell("a", 100.0)


def test_others_are_not_touched_and_old_trouble_is_forgotten() -> None:
    probation = Probation()
    probation.note_loss(["loop"], 0.0, is_certain=True)
    assert probation.resting("other", 0.0) is None
    assert not probation.needs_cell("other", 0.0)
    probation.note_loss(["another"], FORGOTTEN_AFTER_S + 1, is_certain=True)
    assert probation.under_watch(FORGOTTEN_AFTER_S + 1) == ["another"]
