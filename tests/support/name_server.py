"""A name server on loopback for example.com: it takes signed dynamic updates of records that exist, as BIND does."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dns.exception
import dns.message
import dns.opcode
import dns.rcode
import dns.rrset
import dns.tsigkeyring
import dns.update

SOA = dns.rrset.from_text("example.com.", 60, "IN", "SOA", "ns1.example.com. ops.example.com. 1 60 60 60 60")


@contextmanager
def name_server(secret: str, records: dict[str, str]) -> Iterator[int]:
    """Its port. ``secret``: of the key ``ccr-avn``, in base 64; ``records``: CNAMEs by name, as they become."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_serve, args=(listener, secret, records), daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", listener.getsockname())
        thread.join()


def _serve(listener: socket.socket, secret: str, records: dict[str, str]) -> None:
    keys = dns.tsigkeyring.from_text({"ccr-avn.": secret})
    while wire := (received := listener.recvfrom(65535))[0]:
        try:
            asked = dns.message.from_wire(wire, keyring=keys)
            code = _code(asked, records)
        except dns.exception.DNSException:
            asked = dns.message.from_wire(wire, keyring=False, continue_on_error=True)
            code = dns.rcode.NOTAUTH
        reply = dns.message.make_response(asked)
        reply.set_rcode(code)
        if asked.opcode() == dns.opcode.QUERY:
            reply.authority.append(SOA)
        listener.sendto(reply.to_wire(), received[1])


def _code(asked: dns.message.Message, records: dict[str, str]) -> dns.rcode.Rcode:
    if not isinstance(asked, dns.update.UpdateMessage):
        return dns.rcode.NOERROR
    if not asked.had_tsig:
        return dns.rcode.REFUSED
    if any(str(one.name) not in records for one in asked.prerequisite):
        return dns.rcode.NXRRSET
    records.update({str(one.name): str(record) for one in asked.update for record in one})
    return dns.rcode.NOERROR
