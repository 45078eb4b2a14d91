"""What processes tell each other through memory, whenever one of them is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from event_samples import ACQUIRED, FORWARDED, REFUSED

from proxy.events import ClockJumped, ConfigRefused, ConfigReloaded, WorkerEnded
from proxy.observe.measures import Measures
from proxy.observe.sharing import HALF, Board, Sharing

LARGE = 200_000  # bytes, so that a writer is often killed over one


def in_child(work: Callable[[], None]) -> int:
    """Fork, let the child work, and return its pid."""
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def measured(board: Board, place: int) -> Measures:
    return Measures(Sharing(board, place))


def test_a_place_that_nobody_has_written_is_empty() -> None:
    board = Board(2)
    board.write(1, b"one")
    assert (board.read(0), board.read(1)) == (None, b"one")


def test_who_was_forked_later_reads_what_another_process_writes() -> None:
    board = Board(2)
    os.waitpid(in_child(lambda: board.write(1, b"from the child")), 0)
    assert board.read(1) == b"from the child"
    for number in range(5):
        board.write(1, b"%d" % number)
        assert board.read(1) == b"%d" % number


def test_a_reader_sees_whole_documents_only_while_somebody_writes() -> None:
    board = Board(1)

    def write() -> None:
        for number in range(1_000_000):
            board.write(0, b"%d" % (number % 10) * LARGE)

    board.write(0, b"0" * LARGE)
    writer = in_child(write)
    try:
        seen = set()
        end = time.monotonic() + 1.0
        while time.monotonic() < end or len(seen) < 3:
            document = board.read(0)
            assert document is not None
            assert document == document[:1] * LARGE
            seen.add(document[:1])
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)


def test_a_writer_that_is_killed_leaves_a_whole_document_and_the_next_one_goes_on() -> None:
    board = Board(1)
    board.write(0, b"0" * LARGE)

    def write() -> None:
        while True:
            for digit in b"123456789":
                board.write(0, bytes([digit]) * LARGE)

    for number in range(60):
        writer = in_child(write)
        time.sleep(0.001 * (number % 20))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        document = board.read(0)
        assert document is not None
        assert document == document[:1] * LARGE
    board.write(0, b"last")
    assert board.read(0) == b"last"


@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("torn", range(1, 40))
def test_whatever_bytes_of_a_half_are_torn_one_whole_document_is_read_and_the_next_is_too(
    half: int, torn: int
) -> None:
    """Torn where the head ends, and in the document; as if its writer had been killed there."""
    board = Board(1)
    board.write(0, b"the first document")
    board.write(0, b"the second document")
    begin = half * HALF
    board._memory[begin : begin + torn] = b"\xff" * torn
    assert board.read(0) in {b"the first document", b"the second document"}
    for number in range(3):
        board.write(0, b"%d" % number)
        assert board.read(0) == b"%d" % number


def test_what_is_too_large_is_refused_and_the_document_before_it_stays() -> None:
    board = Board(2)
    board.write(0, b"small")
    with pytest.raises(ValueError, match="too large"):
        board.write(0, bytes(HALF))
    assert (board.read(0), board.read(1)) == (b"small", None)


def test_any_process_tells_the_counts_of_all() -> None:
    board = Board(3)
    one, other = measured(board, 0), measured(board, 1)
    one.observe(FORWARDED)
    one.observe(ACQUIRED)
    other.observe(FORWARDED)
    other.observe(replace(FORWARDED, status=500, upstream="s"))
    other.observe(REFUSED)
    one.whole()  # tells
    for measures in (other, one):
        whole = measures.whole()
        assert whole.upstreams["r"].requests == {"GET": {200: 2}}
        assert whole.upstreams["s"].requests == {"GET": {500: 1}}
        assert whole.upstreams["r"].refused == {"login-required": 1}
        assert sum(whole.upstreams["r"].duration.counts) == 2
        assert whole.upstreams["r"].duration.total == pytest.approx(0.04)
        assert sum(point.requests for point in measures.series()) == 4
        assert sum(point.renewals for point in measures.series()) == 1


def test_who_stands_in_goes_on_from_the_counts_that_were_told() -> None:
    board = Board(2)
    other, killed = measured(board, 0), measured(board, 1)
    killed.observe(FORWARDED)
    killed.whole()
    stands_in = measured(board, 1)
    assert other.whole().upstreams["r"].requests == {"GET": {200: 1}}
    stands_in.observe(FORWARDED)
    assert stands_in.whole().upstreams["r"].requests == {"GET": {200: 2}}
    assert other.whole().upstreams["r"].requests == {"GET": {200: 2}}
    assert stands_in.whole().process.started == killed.whole().process.started


def test_requests_of_a_process_that_is_gone_are_not_under_way() -> None:
    board = Board(1)
    killed = measured(board, 0)
    killed.under_way = lambda: {"r": 5}
    assert killed.whole().under_way == {"r": 5}
    assert measured(board, 0).whole().under_way == {}


def test_what_every_worker_sees_is_counted_once() -> None:
    board = Board(3)
    workers = [measured(board, 0), measured(board, 1)]
    for worker in workers:
        worker.observe(ConfigReloaded((), (), ()))
        worker.observe(ClockJumped(90.0))
        worker.whole()
    parent = measured(board, 2)
    parent.observe(WorkerEnded(0, -9))
    process = parent.whole().process
    assert (process.reloads, process.clock_jumps, process.workers_ended) == (1, 1, 1)


def test_what_became_of_the_configuration_last_counts_whoever_has_seen_it() -> None:
    board = Board(2)
    one, other = Measures(Sharing(board, 0), now=lambda: 100.0), measured(board, 1)
    one.observe(ConfigReloaded((), (), ()))
    other.observe(ConfigRefused(("line",)))
    one.whole()
    assert not other.whole().process.is_loaded
    assert not one.whole().process.is_loaded


def test_sections_of_others_do_not_matter_to_the_counts() -> None:
    board = Board(2)
    sharing = Sharing(board, 0)
    measures = Measures(sharing)
    sharing.offer("requests", lambda: b"\x93\x01\x02\x03")
    measures.observe(FORWARDED)
    other = Sharing(board, 1)
    sharing.tell()
    assert [bytes(told) for told in other.all("requests")] == [b"\x93\x01\x02\x03"]
    assert Measures(other).whole().upstreams["r"].requests == {"GET": {200: 1}}
