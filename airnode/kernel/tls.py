"""Loads this node's certificate into a TLS context of a server or a client."""

import ssl
from pathlib import Path

from airnode.errors import StartupError


def load_certificate(context: ssl.SSLContext, cert: Path, key: Path, section: str) -> None:
    """Load a certificate and its key. Reads files.

    Args:
        section: section of the configuration, for the error: ``http``, ``rtmp`` or ``kafka``.

    Raises:
        StartupError: a file is missing, unreadable or encrypted, or they do not belong together.
    """
    try:
        # The password is empty: without one, an encrypted key would prompt on the terminal.
        context.load_cert_chain(cert.expanduser(), key.expanduser(), password="")
    except (OSError, ValueError) as error:
        raise StartupError(
            f"The TLS certificate {cert} with the unencrypted key {key} cannot be used: {error_reason(error)} "
            f"({section}.tls_cert, {section}.tls_key)."
        ) from None


def error_reason(error: Exception) -> object:
    """Return the shortest text of an error: OpenSSL's reason, the operating system's message, or its own text."""
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__
