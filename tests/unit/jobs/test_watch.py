"""Queues in which jobs wait and that no worker works."""

from airnode.bus.jobs.records import JobState, QueueState
from airnode.bus.jobs.watch import UnworkedQueue, UnworkedQueues


def queue(name: str = "q", waiting: int = 3, workers: int = 0) -> QueueState:
    return QueueState(name, {JobState.WAITING: waiting}, workers)


def test_a_queue_is_reported_once_when_nobody_came_in_time():
    watch = UnworkedQueues(30)
    assert watch.observe([queue(), queue("idle", 0), queue("worked", 5, 1)], 100) == []
    assert watch.observe([queue(waiting=4)], 129) == []
    assert watch.observe([queue(waiting=5)], 131) == [UnworkedQueue("q", 5, 31)]
    assert watch.observe([queue(waiting=6)], 132) == []
    assert watch.found == [UnworkedQueue("q", 6, 32)]


def test_a_worker_ends_it_and_the_time_begins_anew():
    watch = UnworkedQueues(30)
    watch.observe([queue()], 100)
    assert watch.observe([queue(workers=1)], 140) == []
    assert watch.found == []
    assert watch.observe([queue()], 150) == []
    assert watch.observe([queue()], 181) == [UnworkedQueue("q", 3, 31)]
