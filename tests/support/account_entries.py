"""passwd(5) and group(5) as the C library reads them."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace


class _Passwd(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        ("uid", ctypes.c_uint32),
        ("gid", ctypes.c_uint32),
        ("full_name", ctypes.c_char_p),
        ("home", ctypes.c_char_p),
        ("shell", ctypes.c_char_p),
    )


class _Group(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        ("gid", ctypes.c_uint32),
        ("members", ctypes.POINTER(ctypes.c_char_p)),
    )


_LIBC = ctypes.CDLL(None)
_LIBC.fmemopen.restype = ctypes.c_void_p
_LIBC.fmemopen.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p)
_LIBC.fclose.argtypes = (ctypes.c_void_p,)
for function, entry in (("fgetpwent", _Passwd), ("fgetgrent", _Group)):
    getattr(_LIBC, function).restype = ctypes.POINTER(entry)
    getattr(_LIBC, function).argtypes = (ctypes.c_void_p,)


def read_passwd(text):
    """Return the accounts that the C library finds, less those that ask NIS, with their names."""
    return list(_read(_LIBC.fgetpwent, text))


def read_group(text):
    """Return the same of groups."""
    return list(_read(_LIBC.fgetgrent, text))


def _read(function, text):
    # Without a newline at the end glibc 2.36 finds a member ":" in a line that begins with a blank.
    content = text.removesuffix("\n").encode(errors="surrogateescape") + b"\n"
    stream = _LIBC.fmemopen(content, len(content), b"r")
    while entry := function(stream):
        name = _text(entry.contents.name)
        if name[:1] not in {"+", "-"}:
            yield name, _copied(entry.contents)
    _LIBC.fclose(stream)


def _text(value):
    return (value or b"").decode(errors="surrogateescape")


def _copied(entry):
    """Take the values out of the static memory that the next call uses again."""
    values = {}
    for name, *_ in entry._fields_:
        value = getattr(entry, name)
        if isinstance(value, bytes):
            value = _text(value)
        elif name == "members":
            value = [_text(each) for each in _until_null(value)]
        values[name] = value
    return SimpleNamespace(**values)


def _until_null(pointers):
    index = 0
    while pointers[index] is not None:
        yield pointers[index]
        index += 1
