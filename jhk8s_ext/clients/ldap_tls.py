"""TLS to a directory: one context for all connections, verified as the options of ldap3 say."""

from __future__ import annotations

import ssl
import threading
from typing import TYPE_CHECKING, Any

import ldap3
from ldap3.core.exceptions import LDAPException
from ldap3.core.tls import check_hostname

from jhk8s_ext.errors import ConfigError

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from jhk8s_ext.clients.ldap_deadline import Deadline


class TlsClient:
    """Turns TCP connections into TLS ones.

    Reading the certificate authorities takes tens of milliseconds, in which no other thread runs;
    so it is done once.

    Parameters
    ----------
    options
        Keywords of `ldap3.Tls`.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._made: tuple[Any, ssl.SSLContext] | None = None

    def wrap(
        self, connection: socket.socket, host: str, timeout_seconds: float, deadline: Deadline
    ) -> ssl.SSLSocket:
        """Shake hands and verify the certificate. Closes the connection where that fails.

        Raises
        ------
        ConfigError
            If the options make no sense.
        OSError, LDAPException
            If it fails.
        """
        tls, context = self._tls_and_context()
        wrapped = context.wrap_socket(
            connection, do_handshake_on_connect=False, server_hostname=tls.sni or host
        )
        deadline.watch(wrapped)
        try:
            wrapped.settimeout(deadline.cut(timeout_seconds))
            with deadline.waiting():
                wrapped.do_handshake()
            if tls.validate != ssl.CERT_NONE:
                check_hostname(wrapped, host, tls.valid_names)
        except BaseException:
            deadline.forget(wrapped)
            wrapped.close()
            raise
        return wrapped

    def _tls_and_context(self) -> tuple[Any, ssl.SSLContext]:
        with self._lock:
            if self._made is None:
                try:
                    tls = ldap3.Tls(**self._options)
                    self._made = (tls, _make_context(tls))
                except (LDAPException, OSError, TypeError, ValueError) as error:
                    raise ConfigError(
                        "LDAPProfileAuthenticator.tls_kwargs", f"cannot be used: {error}"
                    ) from error
            return self._made


def _make_context(tls: Any) -> ssl.SSLContext:
    """Return the context that ldap3 would make for each connection."""
    if tls.version is None:
        context = ssl.create_default_context(
            cafile=tls.ca_certs_file, capath=tls.ca_certs_path, cadata=tls.ca_certs_data
        )
    else:
        context = ssl.SSLContext(tls.version)
        if tls.ca_certs_file or tls.ca_certs_path or tls.ca_certs_data:
            context.load_verify_locations(tls.ca_certs_file, tls.ca_certs_path, tls.ca_certs_data)
        elif tls.validate != ssl.CERT_NONE:
            context.load_default_certs()
    if tls.certificate_file:
        context.load_cert_chain(
            tls.certificate_file, keyfile=tls.private_key_file, password=tls.private_key_password
        )
    # Names are compared after the handshake, with ``valid_names`` too.
    context.check_hostname = False
    context.verify_mode = tls.validate
    for option in tls.ssl_options:
        context.options |= option
    if tls.ciphers:
        context.set_ciphers(tls.ciphers)
    return context
