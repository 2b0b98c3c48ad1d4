"""Many logins at once against a slow directory, beside ldapauthenticator.

Run as ``python -m benchmarks.ldap_logins``. slapd answers through a relay that holds back every
operation for 100 ms, in processes of their own; without TLS, so that nothing else takes time.
Both have the same options: 20 allowed groups, of which a user is in the last one.
"""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ldapauthenticator import LDAPAuthenticator
from traitlets.config import Config

from jhk8s_ext.hub.authenticators import LDAPProfileAuthenticator
from tests.support.slapd import GROUPS, PEOPLE, Slapd, free_port, wait_for_port

LOGINS = 200
# One after the other, they would take minutes.
THEIR_LOGINS = 10
DELAY_SECONDS = 0.1
ALLOWED = [f"cn=project-{number:02},{GROUPS}" for number in range(1, 21)]
STALL_TARGET_MS, THROUGHPUT_TARGET, OPERATIONS_TARGET = 20, 10, 3


def options(port):
    return {
        "enable_auth_state": True,
        "server_address": "127.0.0.1",
        "server_port": port,
        "tls_strategy": "insecure",
        "bind_dn_template": [f"uid={{username}},{PEOPLE}"],
        "auth_state_attributes": ["uidNumber", "gidNumber", "mail"],
        "allowed_groups": ALLOWED,
    }


def make_ours(port):
    config = Config(LDAPProfileAuthenticator=options(port) | {"group_search_base": GROUPS})
    # All 200 arrive in one second; the last of them waits for its turn.
    config.LDAPProfileAuthenticator.login_timeout = 120
    return LDAPProfileAuthenticator(config=config)


def make_theirs(port):
    return LDAPAuthenticator(config=Config(LDAPAuthenticator=options(port)))


async def watch(stalls):
    """Note how late the event loop wakes somebody who sleeps for a millisecond."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        stalls.append(time.perf_counter() - before - 0.001)


async def log_in(authenticator):
    model = await authenticator.get_authenticated_user(
        None, {"username": "linus", "password": "linus-secret"}
    )
    assert model["name"] == "linus"


async def measure(authenticator, count):
    """Return the worst stall in milliseconds, and logins per second."""
    stalls = []
    watcher = asyncio.create_task(watch(stalls))
    await asyncio.sleep(0.1)
    start = time.perf_counter()
    await asyncio.gather(*(log_in(authenticator) for _ in range(count)))
    seconds = time.perf_counter() - start
    await asyncio.sleep(0.01)
    watcher.cancel()
    return 1000 * max(stalls), count / seconds


async def operations(slapd, authenticator):
    """Return how many operations one login takes after connecting."""
    before = len(slapd.operations())
    await log_in(authenticator)
    await asyncio.sleep(0.3)  # slapd writes its log a little later
    return sum(kind in ("BIND", "SRCH") for kind in slapd.operations()[before:])


@contextlib.contextmanager
def relay(to):
    port = free_port()
    command = [sys.executable, "-m", "tests.support.relay", str(port), str(to), str(DELAY_SECONDS)]
    process = subprocess.Popen(command)
    try:
        wait_for_port(port)
        yield port
    finally:
        process.terminate()
        process.wait()


async def main():
    with tempfile.TemporaryDirectory(prefix="jhk8s-bench-") as folder:
        slapd = Slapd(Path(folder))
        try:
            with relay(slapd.port) as port:
                ours = make_ours(port)
                await log_in(ours)
                our_operations = await operations(slapd, ours)
                our_stall, our_rate = await measure(ours, LOGINS)
                ours.close()
                theirs = make_theirs(port)
                their_operations = await operations(slapd, theirs)
                their_stall, their_rate = await measure(theirs, THEIR_LOGINS)
        finally:
            slapd.stop()
    print(f"directory: slapd, {1000 * DELAY_SECONDS:.0f} ms for each operation")
    print(f"logins at once: {LOGINS} of ours, {THEIR_LOGINS} of ldapauthenticator's, in turn")
    print(f"{'':44}{'jhk8s-ext':>12}{'ldapauthenticator':>20}")
    print(f"{'worst stall of the event loop, ms':44}{our_stall:12.1f}{their_stall:20.1f}")
    print(f"{'logins per second':44}{our_rate:12.1f}{their_rate:20.2f}")
    print(f"{'operations per login, 20 allowed groups':44}{our_operations:12}{their_operations:20}")
    ratio = our_rate / their_rate
    print(f"throughput: {ratio:.0f} times theirs (target {THROUGHPUT_TARGET})")
    print(f"stall: {our_stall:.1f} ms (target {STALL_TARGET_MS})")
    print(f"operations: {our_operations} (target {OPERATIONS_TARGET})")
    is_good = (
        our_stall <= STALL_TARGET_MS
        and ratio >= THROUGHPUT_TARGET
        and our_operations <= OPERATIONS_TARGET
    )
    print("targets met" if is_good else "TARGETS MISSED")


if __name__ == "__main__":
    asyncio.run(main())
