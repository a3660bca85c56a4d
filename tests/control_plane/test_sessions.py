"""Sessions are bounded, unguessable, and each its own."""

from control_plane.sessions import SESSION_S_MAX, Sessions


def test_beyond_the_most_there_may_be_the_oldest_ends() -> None:
    sessions = Sessions(lambda: 0.0, count_max=2)
    first, second, third = (sessions.begin(f"token {number}") for number in range(3))
    assert [sessions.find(cookie) for cookie in (first, second, third)] == [None, "token 1", "token 2"]


def test_a_session_ends_after_its_time() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    cookie = sessions.begin("t")
    now[0] = SESSION_S_MAX - 1
    assert sessions.find(cookie) == "t"
    now[0] = SESSION_S_MAX
    assert sessions.find(cookie) is None


def test_what_is_no_cookie_of_ours_is_nobodys() -> None:
    sessions = Sessions(lambda: 0.0)
    cookie = sessions.begin("t")
    for text in (None, "", cookie[:-1], cookie + "a", "\ud800", "a" * 1_000_000):
        assert sessions.find(text) is None
        sessions.end(text)
    assert sessions.find(cookie) == "t"
    sessions.end(cookie)
    assert sessions.find(cookie) is None
