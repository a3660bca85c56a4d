"""Busy, stalled, hung: told apart by processor time and by whether anything comes out."""

from functions.heartbeat import HANG_CPU_S, HANG_S_MAX, STALL_CPU_S, Heartbeat, Pulse, Signs


def beat() -> Heartbeat:
    return Heartbeat(Signs(now_s=100.0, cpu_s=5.0, heard_count=7))


def test_a_process_that_is_starved_of_processor_time_isnt_stalled() -> None:
    assert beat().pulse(Signs(now_s=110.0, cpu_s=5.1, heard_count=7)) is Pulse.LIVES


def test_one_that_computes_and_says_nothing_is_stalled_then_hung() -> None:
    waiting = beat()
    assert waiting.pulse(Signs(100.4, 5.0 + STALL_CPU_S / 2, 7)) is Pulse.LIVES
    assert waiting.pulse(Signs(100.8, 5.01 + STALL_CPU_S, 7)) is Pulse.STALLED
    assert waiting.pulse(Signs(102.5, 5.01 + HANG_CPU_S, 7)) is Pulse.HUNG


def test_one_that_answers_others_all_the_while_is_only_busy() -> None:
    waiting = beat()
    for tick in range(1, 17):
        assert waiting.pulse(Signs(100.0 + tick / 10, 5.0 + tick / 10, 7 + tick)) is Pulse.LIVES


def test_one_that_has_waited_for_too_long_is_hung_whatever_it_does() -> None:
    assert beat().pulse(Signs(100.1 + HANG_S_MAX, 5.0, 99)) is Pulse.HUNG
