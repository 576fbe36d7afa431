from airnode.media.room.viewers import Viewers


def test_a_session_counts_once_and_for_the_window():
    viewers = Viewers(12)
    for at_s in range(5):
        viewers.note_request("a", at_s)
    viewers.note_request("b", 4)
    assert viewers.count(5) == 2
    viewers.note_request("b", 15)
    assert viewers.count(16.1) == 1
    assert viewers.count(40) == 0


def test_nobody_watches_what_has_ended():
    viewers = Viewers(12)
    viewers.note_request("a", 0)
    viewers.clear()
    assert viewers.count(0) == 0
