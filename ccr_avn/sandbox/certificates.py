"""The certificates that TLS is served with: the person's own, or new ones of a CA of the sandbox's own."""

import ssl
from dataclasses import replace
from pathlib import Path

from ccr_avn.errors import UsageError
from ccr_avn.sandbox.options import SandboxOptions


def must_load(options: SandboxOptions) -> None:
    """What only a server's start would show otherwise.

    Raises:
        UsageError: a certificate, a key or a CA is none, or they don't match.
    """
    own = "--tls alone makes a certificate of the sandbox's own"
    if bool(options.tls_certificate) != bool(options.tls_key):
        raise UsageError(
            "--tls-certificate and --tls-key go together", detail="one of them was given", hint=f"give both; {own}"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        if options.tls_certificate:
            context.load_cert_chain(options.tls_certificate, options.tls_key)
        if options.tls_ca:
            context.load_verify_locations(options.tls_ca)
    except (OSError, ValueError) as error:  # of ssl's own errors each is an OSError
        files = ", ".join(str(one) for one in (options.tls_certificate, options.tls_key, options.tls_ca) if one)
        raise UsageError("the sandbox can't serve TLS with these files", detail=f"{files}: {error}", hint=own) from None


def with_certificates(options: SandboxOptions, directory: Path) -> SandboxOptions:
    """Those of the options, or new ones in the directory when TLS is wanted without."""
    if options.encrypted or not options.tls:
        return options
    import trustme

    authority = trustme.CA(organization_name="ccr-avn sandbox")
    issued = authority.issue_cert("127.0.0.1", "localhost")
    certificate, key, ca = (directory / f"{name}.pem" for name in ("certificate", "key", "ca"))
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(ca)
    return replace(options, tls_certificate=certificate, tls_key=key, tls_ca=ca)
