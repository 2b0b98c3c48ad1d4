import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.menu.sizes import (
    NOTHING,
    Amount,
    amount_of,
    excess,
    in_gib,
    limit_for,
    parse_limits,
    parse_sizes,
    total,
)

GIB = 1024**3
GPU = "nvidia.com/gpu"


def size(**keys):
    (found,) = parse_sizes([{"name": "small", "cpu": 1, **keys}])
    return found


def used(cpu=0.0, memory=0, gpus=None):
    return Amount(cpu=cpu, memory_bytes=memory, resources={} if gpus is None else {GPU: gpus})


def limit(*documents, groups=()):
    return limit_for(parse_limits(documents), groups)


def test_a_size_of_a_cpu_has_two_gibibytes_and_a_quarter_guaranteed():
    small = size()
    assert (small.cpu, small.cpu_guarantee) == (1.0, 0.25)
    assert (small.memory_bytes, small.memory_guarantee_bytes) == (2 * GIB, GIB // 2)
    assert (small.title, small.description) == ("Small", "")
    assert (small.resources, small.node_selector, small.tolerations) == ({}, {}, [])


def test_a_size_says_everything_itself():
    large = size(
        name="large",
        title="Large!",
        description="For theses.",
        cpu=4,
        cpu_guarantee=4,
        memory="16G",
        memory_guarantee="1G",
        resources={GPU: 2},
        node_selector={"pool": "gpu"},
        tolerations=[{"key": GPU, "operator": "Exists"}],
        groups=["staff"],
    )
    assert (large.title, large.description) == ("Large!", "For theses.")
    assert (large.cpu_guarantee, large.memory_guarantee_bytes) == (4.0, GIB)
    assert amount_of(large) == used(4, 16 * GIB, 2)
    assert large.node_selector == {"pool": "gpu"}
    assert large.tolerations == [{"key": GPU, "operator": "Exists"}]
    assert not large.audience.admits(["ada"])


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"cpu": None}, ".cpu: is missing"),
        ({"cpu": 0}, ".cpu: 0 is not above 0"),
        ({"cpu": "2"}, ".cpu: '2' is not a number"),
        ({"memory": "lots"}, ".memory: 'lots' is not an amount of memory"),
        ({"cpu_guarantee": 2}, ".cpu_guarantee: 2 is more than the limit, 1"),
        ({"memory": "1G", "memory_guarantee": "2G"}, ".memory_guarantee: 2147483648 is more than"),
        ({"resources": {GPU: 0}}, ".resources: nvidia.com/gpu: 0 is not an extended resource"),
        ({"resources": {GPU: True}}, ".resources: nvidia.com/gpu: True is not"),
        ({"resources": {GPU: "1"}}, ".resources: nvidia.com/gpu: '1' is not"),
        ({"resources": {"cpu": 1}}, ".resources: cpu: 1 is not an extended resource"),
        ({"resources": {1: 1}}, ".resources: 1: 1 is not an extended resource"),
        ({"node_selector": {"pool": 1}}, ".node_selector: pool: 1 is not a label and its text"),
        ({"node_selector": {"pool": True}}, ".node_selector: pool: True is not a label"),
        ({"tolerations": ["gpu"]}, ".tolerations: 'gpu' is not a mapping"),
        ({"mem": "1G"}, ".mem: there is no such key; 'memory' is close"),
        ({"name": "Small"}, ".name: 'Small' is not up to"),
    ],
)
def test_a_size_that_cannot_be_is_refused(keys, problem):
    with pytest.raises(ConfigError) as caught:
        size(**keys)
    assert str(caught.value).startswith(f"ImageMenu.sizes[0]{problem}")


def test_two_sizes_have_two_names():
    with pytest.raises(ConfigError, match=r"^ImageMenu\.sizes: 'a' is there twice"):
        parse_sizes([{"name": "a", "cpu": 1}, {"name": "a", "cpu": 2}])


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"cpu": -1}, "ImageMenu.limits[1].cpu: -1 is not above 0"),
        ({"resources": {GPU: -1}}, "ImageMenu.limits[1].resources: nvidia.com/gpu: -1 is not"),
        ({"gpu": 1}, "ImageMenu.limits[1].gpu: there is no such key"),
        ("4", "ImageMenu.limits[1]: '4' is not a mapping"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(document, problem):
    with pytest.raises(ConfigError) as caught:
        parse_limits([{}, document])
    assert str(caught.value).startswith(problem)


EVERYBODY = {"cpu": 4, "memory": "8G", "resources": {GPU: 0}}
STAFF = {"cpu": 16, "memory": "16G", "resources": {GPU: 0}, "groups": ["staff"]}
GPUS = {"cpu": 8, "memory": "32G", "resources": {GPU: 1}, "groups": ["gpu"]}
FREE = {"memory": "1G", "groups": ["free"]}
GUESTS = {"cpu": 1, "memory": "1G", "resources": {GPU: 0}, "groups": ["guests"]}


@pytest.mark.parametrize(
    ("groups", "cpu", "gib", "resources"),
    [
        ([], 4, 8, {GPU: 0}),
        (["ada"], 4, 8, {GPU: 0}),
        (["staff"], 16, 16, {GPU: 0}),
        (["gpu", "ada"], 8, 32, {GPU: 1}),
        # Of each thing the most.
        (["gpu", "staff"], 16, 32, {GPU: 1}),
        # What one of them does not limit is not limited.
        (["free", "staff"], None, 16, {}),
        # It is not what everybody has, and may be less.
        (["guests"], 1, 1, {GPU: 0}),
    ],
)
def test_the_limit_is_the_most_that_a_group_gives(groups, cpu, gib, resources):
    found = limit(EVERYBODY, STAFF, GPUS, FREE, GUESTS, groups=groups)
    assert (found.cpu, found.memory_bytes, found.resources) == (cpu, gib * GIB, resources)


def test_without_limits_nothing_is_too_much():
    for found in (limit(), limit(STAFF)):
        assert (found.cpu, found.memory_bytes, found.resources) == (None, None, {})
        assert excess(size(cpu=1000, resources={GPU: 99}), used(1e6, 10**15, 99), found) == ""


@pytest.mark.parametrize(
    ("keys", "in_use", "sentence"),
    [
        ({}, NOTHING, ""),
        ({"cpu": 4}, NOTHING, ""),
        ({"cpu": 4.1}, NOTHING, "takes 4.1 CPU, and you may have 4"),
        ({"cpu": 2, "memory": "1G"}, used(2, GIB), ""),
        ({"cpu": 2}, used(2.5), "takes 2 CPU, and 2.5 of your 4 are in use"),
        ({"memory": "8G"}, NOTHING, ""),
        ({"memory": "6G"}, used(0, 3 * GIB), "takes 6 GiB, and 3 GiB of your 8 GiB are in use"),
        ({"resources": {GPU: 2}}, used(gpus=0), ""),
        (
            {"resources": {GPU: 1}},
            used(gpus=2),
            "takes 1 nvidia.com/gpu, and 2 of your 2 are in use",
        ),
        ({"resources": {"amd.com/gpu": 9}}, NOTHING, ""),
        # Another limit is no reason to refuse what takes nothing of it.
        ({}, used(gpus=9), ""),
    ],
)
def test_what_is_too_much_is_said(keys, in_use, sentence):
    most = limit({"cpu": 4, "memory": "8G", "resources": {GPU: 2}})
    assert excess(size(**keys), in_use, most) == sentence


def test_a_limit_of_none_keeps_a_resource_for_others():
    found = excess(size(resources={GPU: 1}), NOTHING, limit(EVERYBODY))
    assert found == "takes 1 nvidia.com/gpu, and you may have 0"


def test_fractions_add_up_to_the_whole():
    third = size(cpu=0.1, memory="1M")
    in_use = total([amount_of(third)] * 2)
    # 0.1 + 0.1 + 0.1 is more than 0.3 to a computer.
    assert in_use.cpu + third.cpu > 0.3
    assert excess(third, in_use, limit({"cpu": 0.3})) == ""
    assert excess(size(cpu=0.11), in_use, limit({"cpu": 0.3}))


amounts = st.builds(
    used,
    st.integers(0, 64).map(float),
    st.integers(0, 2**40),
    st.none() | st.integers(0, 8),
)


@given(st.lists(amounts))
def test_amounts_add_up(every):
    found = total(iter(every))
    assert found.cpu == sum(amount.cpu for amount in every)
    assert found.memory_bytes == sum(amount.memory_bytes for amount in every)
    assert found.resources.get(GPU, 0) == sum(amount.resources.get(GPU, 0) for amount in every)


@given(amounts, st.integers(1, 64), st.integers(1, 64))
def test_what_fits_leaves_the_total_within_the_limit(in_use, cpu, most):
    wanted = size(cpu=cpu)
    fits = excess(wanted, in_use, limit({"cpu": most})) == ""
    assert fits == (total([in_use, amount_of(wanted)]).cpu <= most)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (512 * 1024**2, "0.5 GiB"),
        (GIB, "1 GiB"),
        (int(1.5 * GIB), "1.5 GiB"),
        (99 * GIB, "99 GiB"),
        (128 * GIB, "128 GiB"),
        (2048 * GIB, "2048 GiB"),
    ],
)
def test_memory_is_written_for_people(size_bytes, text):
    assert in_gib(size_bytes) == text
