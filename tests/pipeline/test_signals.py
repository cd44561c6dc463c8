"""SIGTERM and SIGINT at each stage of a worker's life, in processes of their own."""

import signal
import subprocess
import sys
import textwrap

import pytest

STARTED = """
import sys, threading, time
from pipeline import signals
signals.STOP_TIMEOUT_S = 0.2
now_s, n_signals = 0.0, 0

def clock():
    global n_signals
    n_signals += 1
    return now_s

stop = signals.StopSignals(clock)

def wait_for_signals(n):
    print("waiting", flush=True)
    while n_signals < n:
        time.sleep(0.01)

def request_from_thread():
    threading.Thread(target=stop.request_from_thread).start()
    # Until the request is there, which ends a wait that is under way.
    while not stop.requested.is_set():
        time.sleep(0.01)
"""


def exit_code(stage: str, *numbers: int) -> int:
    """Send these signals, one after another, to a process that is in this stage.

    It prints a line when it is there, and one more after each signal that it survives.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", STARTED + textwrap.dedent(stage)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        for number in numbers:
            assert process.stdout.readline() == "waiting\n"
            process.send_signal(number)
        return process.wait(30)


WAIT = 'print("waiting", flush=True); time.sleep(60)'


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_while_starting_it_ends_at_once_with_0(number: int) -> None:
    assert exit_code(WAIT, number) == 0


def test_while_ending_so_another_signal_changes_nothing() -> None:
    stage = f"""
    try:
        {WAIT}
    finally:
        print("waiting", flush=True)
        time.sleep(0.5)
    """
    assert exit_code(stage, signal.SIGTERM, signal.SIGTERM) == 0


def test_work_that_begins_although_it_was_to_end_has_been_asked_to_stop() -> None:
    stage = f"""
    try:
        {WAIT}
    except SystemExit:
        pass
    with stop.work_to_finish() as requested:
        sys.exit(7 if requested.is_set() else 8)
    """
    assert exit_code(stage, signal.SIGTERM) == 7


def test_while_working_the_work_in_hand_is_finished() -> None:
    stage = """
    with stop.work_to_finish() as requested:
        print("waiting", flush=True)
        requested.wait(60)
    sys.exit(7)
    """
    assert exit_code(stage, signal.SIGTERM) == 7


def test_work_that_is_not_finished_in_time_is_given_up() -> None:
    stage = f"""
    from pipeline.errors import StopTimedOut
    try:
        with stop.work_to_finish():
            {WAIT}
    except StopTimedOut:
        sys.exit(8)
    """
    assert exit_code(stage, signal.SIGTERM) == 8


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_does_not_wait(number: int) -> None:
    stage = """
    signals.STOP_TIMEOUT_S = 60
    with stop.work_to_finish():
        wait_for_signals(1)
        now_s = signals.SAME_SIGNAL_S
        wait_for_signals(3)
    """
    assert exit_code(stage, signal.SIGTERM, number) == 128 + number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_one_at_once_is_the_first_one_passed_on(number: int) -> None:
    stage = """
    signals.STOP_TIMEOUT_S = 60
    with stop.work_to_finish():
        wait_for_signals(1)
        now_s = 0.9 * signals.SAME_SIGNAL_S
        wait_for_signals(2)
    sys.exit(7)
    """
    assert exit_code(stage, signal.SIGTERM, number) == 7


def test_it_is_the_first_one_that_the_second_is_held_against() -> None:
    stage = """
    signals.STOP_TIMEOUT_S = 60
    with stop.work_to_finish():
        for n, now_s in enumerate((0.0, 0.9, 1.8)):
            wait_for_signals(n + 1)
    """
    numbers = [signal.SIGTERM] * 3
    assert exit_code(stage, *numbers) == 128 + signal.SIGTERM


def test_a_thread_may_request_it_as_well() -> None:
    stage = """
    with stop.work_to_finish():
        request_from_thread()
    sys.exit(7)
    """
    assert exit_code(stage) == 7


def test_a_request_does_not_make_the_first_signal_a_second_one() -> None:
    stage = """
    signals.STOP_TIMEOUT_S = 60
    with stop.work_to_finish():
        request_from_thread()
        print("waiting", flush=True)
        time.sleep(0.5)
    sys.exit(7)
    """
    assert exit_code(stage, signal.SIGTERM) == 7


def test_a_request_while_starting_ends_it_at_once_with_0() -> None:
    assert exit_code("request_from_thread()") == 0


def test_whoever_works_may_have_another_time_to_finish_in() -> None:
    stage = f"""
    from pipeline.errors import StopTimedOut
    signals.STOP_TIMEOUT_S = 60
    try:
        with stop.work_to_finish(timeout_s=0.2):
            {WAIT}
    except StopTimedOut:
        sys.exit(8)
    """
    assert exit_code(stage, signal.SIGTERM) == 8


def test_while_leaving_a_signal_does_not_change_the_exit_code() -> None:
    stage = """
    with stop.work_to_finish():
        pass
    print("waiting", flush=True)
    time.sleep(0.5)
    sys.exit(9)
    """
    assert exit_code(stage, signal.SIGTERM) == 9
