"""The rule for sudo: there for whom it is granted, and gone for everybody else."""

import os
import stat

import pytest
from jhk8s_singleuser.actions import AllowSudo
from jhk8s_singleuser.context import Context, StepError
from jhk8s_singleuser.sudo import allow_sudo

RULE = "#10001 ALL=(ALL:ALL) NOPASSWD: ALL\n"
NO_SUDO = "user.sudo: you may use sudo, but this image has none that reads /etc/sudoers.d"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "etc/sudoers.d").mkdir(parents=True)
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/sudo").touch()
    return tmp_path


@pytest.fixture
def rule(root):
    return root / "etc/sudoers.d/jhk8s"


def allow(root, uid):
    context = Context(str(root), lambda _: None, {})
    allow_sudo(AllowSudo(uid=uid), context)
    return context.notices


def names(folder):
    return [path.name for path in folder.iterdir()]


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("before", [None, "", "#10002 ALL=(ALL) ALL\n", RULE])
def test_who_may_gets_the_rule(root, rule, before):
    if before is not None:
        rule.write_text(before)
        rule.chmod(0o666)
    assert allow(root, 10001) == []
    assert (rule.read_text(), mode(rule)) == (RULE, 0o440)
    assert names(rule.parent) == ["jhk8s"]
    assert allow(root, 10001) == []


def test_who_may_no_more_has_it_no_more(root, rule):
    allow(root, 10001)
    assert allow(root, None) == []
    assert names(rule.parent) == []
    assert allow(root, None) == []


def test_a_half_written_rule_is_none_to_sudo_and_is_replaced(root, rule):
    """Sudo skips every file in the folder whose name holds a dot, see sudoers(5)."""
    victim = root / "victim"
    victim.write_text("mine")
    half = rule.with_name("jhk8s.jhk8s-new")
    assert "." in half.name
    half.symlink_to(victim)
    allow(root, 10001)
    assert names(rule.parent) == ["jhk8s"]
    assert victim.read_text() == "mine"


def test_a_link_in_the_place_of_the_rule_is_replaced(root, rule):
    victim = root / "victim"
    victim.write_text("mine")
    rule.symlink_to(victim)
    allow(root, 10001)
    assert not rule.is_symlink()
    rule.unlink()
    rule.symlink_to(victim)
    allow(root, None)
    assert names(rule.parent) == []
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("missing", ["usr/bin/sudo", "etc/sudoers.d"])
@pytest.mark.parametrize("uid", [10001, None])
def test_an_image_without_sudo_is_told_only_to_who_may_use_it(root, missing, uid):
    if missing == "etc/sudoers.d":
        (root / missing).rmdir()
    else:
        (root / missing).unlink()
    assert allow(root, uid) == ([] if uid is None else [NO_SUDO])
    assert not (root / "etc/sudoers.d/jhk8s").exists()


def test_a_file_in_the_place_of_the_folder_is_no_sudo(root):
    (root / "etc/sudoers.d").rmdir()
    (root / "etc/sudoers.d").touch()
    assert allow(root, None) == []
    assert allow(root, 10001) == [NO_SUDO]


@pytest.mark.parametrize("place", ["bin/sudo", "usr/local/bin/sudo"])
def test_sudo_may_be_elsewhere(root, rule, place):
    (root / "usr/bin/sudo").unlink()
    (root / place).parent.mkdir(parents=True)
    (root / place).touch()
    assert allow(root, 10001) == []
    assert rule.read_text() == RULE


def test_what_cannot_be_taken_away_ends_the_start(root, rule, monkeypatch):
    allow(root, 10001)

    def unlink(path):
        raise OSError(30, "Read-only file system", path)

    monkeypatch.setattr(os, "unlink", unlink)
    with pytest.raises(OSError, match="Read-only file system"):
        allow(root, None)
    with pytest.raises(StepError, match=r"jhk8s cannot be written \(Read-only file system\), and"):
        allow(root, 10002)
