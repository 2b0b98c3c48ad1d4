from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from jhk8s_ext.clients import ldap
from jhk8s_ext.clients.ldap_deadline import Deadline
from jhk8s_ext.clients.ldap_directory import Directory
from jhk8s_ext.errors import UpstreamError
from tests.support.directories import BY_LOOKUP, fetch_login, server_settings, settings
from tests.support.relay import relay
from tests.support.slapd import Slapd, free_port


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A second server with the same accounts, and a certificate of an authority of its own."""
    server = Slapd(tmp_path_factory.mktemp("other"))
    yield server
    server.stop()


@pytest.fixture
def directory():
    """Return a function that makes a directory, whose warnings are in ``warnings``."""
    with contextlib.ExitStack() as stack:

        def make(*args, **changes):
            warnings = []
            made = Directory(settings(*args, **changes), warnings.append)
            made.warnings = warnings
            stack.callback(made.close)
            return made

        yield make


@contextlib.contextmanager
def talker(answer=b""):
    """Accept every connection and answer it with some bytes, or with silence."""
    connections = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                if answer:
                    connection.recv(100)
                    connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in connections:
            connection.close()


def log_in(directory, name="ada", seconds=15):
    return ldap.log_in(directory, name, f"{name}-secret", Deadline(seconds))


@pytest.mark.parametrize("cut_after", range(5))
def test_a_server_that_dies_during_a_login_is_followed_by_the_next(slapd, directory, cut_after):
    with relay(slapd.port, cut_after=cut_after) as dying:
        servers = server_settings(slapd, port=dying.port), server_settings(slapd)
        made = directory(*servers)
        assert log_in(made).user.first("uidNumber") == "10001"
        assert dying.connections == 1
        assert log_in(made) is not None
        assert dying.connections == 1, "a dead server is left alone"
    assert len(made.warnings) == 1
    assert "is left alone for 60 seconds" in made.warnings[0]


def test_a_dead_server_is_tried_again_after_a_while(slapd, directory):
    with relay(slapd.port, cut_after=0) as dying:
        servers = server_settings(slapd, port=dying.port), server_settings(slapd)
        made = directory(*servers, dead_server_seconds=0)
        for count in (1, 2):
            assert log_in(made) is not None
            assert dying.connections == count


def test_where_all_servers_are_dead_all_are_tried_again(slapd, directory):
    with relay(slapd.port, cut_after=0) as one, relay(slapd.port, cut_after=0) as two:
        made = directory(*(server_settings(slapd, port=port) for port in (one.port, two.port)))
        for count in (1, 2):
            with pytest.raises(UpstreamError, match=f"{one.port}.*{two.port}"):
                log_in(made)
            assert (one.connections, two.connections) == (count, count)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"0\x84\xff\xff\xff\xff", b"0\x05\x02\x01"]
)
def test_a_server_that_hangs_or_answers_garbage_is_passed_over(slapd, directory, answer):
    with talker(answer) as port:
        bad = server_settings(slapd, port=port, receive_timeout_seconds=1)
        assert log_in(directory(bad, server_settings(slapd))) is not None


def test_a_certificate_of_another_authority_is_passed_over(slapd, other, directory):
    bad = server_settings(slapd, port=other.port)
    with pytest.raises(UpstreamError, match="certificate"):
        log_in(directory(bad))
    assert log_in(directory(bad, server_settings(slapd))) is not None


def test_nothing_listening_is_passed_over(slapd, directory):
    bad = server_settings(slapd, port=free_port())
    assert log_in(directory(bad, server_settings(slapd))) is not None


def test_a_slow_server_is_waited_for(slapd, directory):
    with relay(slapd.port, delay_seconds=0.1) as slow:
        made = directory(server_settings(slapd, port=slow.port), server_settings(slapd))
        assert log_in(made) is not None
        assert made.warnings == []


@pytest.mark.parametrize("start_tls", [True, False])
def test_a_dripping_server_does_not_hold_a_thread(slapd, directory, start_tls):
    with relay(slapd.port, drip_seconds=0.5) as dripping:
        bad = server_settings(
            slapd, port=dripping.port, start_tls=start_tls, receive_timeout_seconds=1
        )
        start = time.monotonic()
        assert log_in(directory(bad, server_settings(slapd))) is not None
        assert time.monotonic() - start < 10


def test_no_step_takes_longer_than_what_is_left_of_the_login(slapd, directory):
    with talker() as port:
        bad = server_settings(slapd, port=port, receive_timeout_seconds=60)
        made = directory(bad, server_settings(slapd))
        start = time.monotonic()
        with pytest.raises(UpstreamError, match="within 1 seconds"):
            log_in(made, seconds=1)
        assert time.monotonic() - start < 5
        assert log_in(made, seconds=5) is not None, "the next login asks the next server"


@pytest.mark.parametrize("tls", [{"start_tls": True}, {"start_tls": False, "use_ssl": True}])
def test_a_thread_is_freed_from_outside(slapd, directory, tls):
    with talker() as port, ThreadPoolExecutor(1) as pool:
        bad = server_settings(
            slapd, port=port, receive_timeout_seconds=60, connect_timeout_seconds=60, **tls
        )
        deadline = Deadline(60)
        work = pool.submit(ldap.log_in, directory(bad), "ada", "ada-secret", deadline)
        time.sleep(0.5)
        assert not work.done()
        deadline.abort()
        with pytest.raises(UpstreamError):
            work.result(timeout=5)


def test_a_wrong_password_is_an_answer_and_no_other_server_is_asked(slapd, directory):
    with relay(slapd.port) as second:
        made = directory(server_settings(slapd), server_settings(slapd, port=second.port))
        assert ldap.log_in(made, "ada", "wrong", Deadline(10)) is None
        assert second.connections == 0


def test_the_service_account_binds_once_for_many_logins(slapd, directory):
    made = directory(server_settings(slapd), **BY_LOOKUP)
    assert log_in(made) is not None
    before = len(slapd.operations())
    assert log_in(made) is not None
    # Look-up, user's connection, bind, groups.
    assert slapd.operations()[before:] == ["SRCH", "EXT", "BIND", "SRCH", "UNBIND"]


def test_kept_connections_are_bounded_in_number_and_age_and_all_are_closed(slapd, directory):
    with relay(slapd.port) as line:
        server = server_settings(slapd, port=line.port)
        made = directory(server, **BY_LOOKUP, idle_seconds=1)
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda _: log_in(made), range(16)))
        assert wait_for(lambda: line.open <= 2)
        assert line.open > 0
        time.sleep(1)
        made.close_idle()
        assert wait_for(lambda: line.open == 0)
        assert log_in(made) is not None
        made.close()
        assert wait_for(lambda: line.open == 0)


def wait_for(condition):
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_a_kept_connection_that_the_server_has_closed_is_replaced_in_silence(other, directory):
    made = directory(server_settings(other), server_settings(other), **BY_LOOKUP)
    assert log_in(made) is not None
    other.stop()
    other.start()
    assert log_in(made) is not None
    assert made.warnings == []


def test_a_kept_connection_that_breaks_when_it_is_used_is_replaced_in_silence(slapd, directory):
    # StartTLS, hello, finish, bind and one search; the second search is cut off.
    with relay(slapd.port, cut_after=5) as line:
        made = directory(server_settings(slapd, port=line.port), **BY_LOOKUP)
        lookups = [
            made.ask(Deadline(10), lambda server: server.by_service(read_ada)) for _ in range(4)
        ]
        assert all(lookups)
        assert line.connections > 1


def read_ada(session):
    return session.search("dc=example,dc=edu", "(uid=ada)", ["uid"])


def test_no_connection_is_left_open_whatever_happens(slapd, directory):
    with relay(slapd.port) as line:
        made = directory(server_settings(slapd, port=line.port), idle_connections=0, **BY_LOOKUP)
        log_in(made)
        ldap.log_in(made, "ada", "wrong", Deadline(10))
        ldap.log_in(made, "nobody", "wrong", Deadline(10))
        wrong = dataclasses.replace(made.settings.service, password="wrong")
        with pytest.raises(UpstreamError):
            log_in(
                directory(server_settings(slapd, port=line.port), **BY_LOOKUP | {"service": wrong})
            )
        assert line.connections > 4
        assert wait_for(lambda: line.open == 0)


def test_probe_finds_what_is_wrong(slapd, directory):
    def probe(*args, **changes):
        ldap.probe(directory(*args, **changes), Deadline(5))

    probe(server_settings(slapd))
    probe(server_settings(slapd), **BY_LOOKUP)
    wrong = dataclasses.replace(BY_LOOKUP["service"], password="wrong")
    with pytest.raises(UpstreamError, match="lookup_dn_search_user"):
        probe(server_settings(slapd), **BY_LOOKUP | {"service": wrong})
    with pytest.raises(UpstreamError, match="certificate"):
        probe(server_settings(slapd, tls_options={"validate": 2}))
    with pytest.raises(UpstreamError, match="refused"):
        probe(server_settings(slapd, port=free_port()))
    with talker(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port, pytest.raises(UpstreamError):
        probe(server_settings(slapd, port=port, start_tls=False))


def test_one_ipv4_address_is_enough_where_a_name_has_others(slapd):
    # localhost may lead to ::1 first, where nothing listens.
    assert fetch_login(settings(server_settings(slapd, host="localhost")), "ada", "ada-secret")


def test_a_server_that_hangs_on_a_kept_connection_leaves_time_for_the_next(slapd, directory):
    with relay(slapd.port) as line:
        first = server_settings(slapd, port=line.port)
        made = directory(first, server_settings(slapd), **BY_LOOKUP)
        assert log_in(made) is not None
        line.hang()
        # Both a kept connection and a new one take two seconds to be given up.
        assert log_in(made, seconds=3.5) is not None
        assert len(made.warnings) == 1


def test_a_silent_kept_connection_to_the_only_server_is_replaced(slapd, directory):
    with relay(slapd.port) as line:
        made = directory(server_settings(slapd, port=line.port), **BY_LOOKUP)
        assert log_in(made) is not None
        line.hang(seconds=1.5)
        assert log_in(made) is not None
