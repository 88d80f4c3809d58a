"""Which addresses may be fetched from, and the watch that holds a model to it.

Everything about a URL is hostile: its spelling, the addresses its name has, and where its redirects lead. The rules
here are plain values and functions without any I/O, used by the server before it fetches, and by a worker while a model
fetches by itself. There, ``guarding`` looks at every connection that Python code of the model opens, which covers
redirects and names that change their address between two look-ups. Native code that connects by itself (libcurl, gRPC,
uvloop) and child programs are outside of it.
"""

import contextlib
import contextvars
import functools
import ipaddress
import re
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_URL_CHARS = 8192

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[^/?#:@\[\]]*|\[[^/?#@\[\]]*\])(?::(?P<port>\d*))?(?P<rest>[/?#].*)?", re.I
)
_HOST = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})\.)*[A-Za-z0-9_][A-Za-z0-9_-]{0,62}\.?")
_LIKE_A_NUMBER = re.compile(r"(?:.*\.)?(?:\d+|0[xX][0-9A-Fa-f]*)\.?")
_IPV4 = re.compile(r"(?:(?:0|[1-9]\d{0,2})\.){3}(?:0|[1-9]\d{0,2})", re.ASCII)
#: Characters that some parsers drop, and others do not: controls, every kind of space, invisible marks, the backslash.
_SLIPPERY = re.compile(
    "[\\\\\x00-\x20\x7f-\xa0\xad\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ud800-\udfff]"
)

#: IPv4 that is not for everyone: IANA's special-purpose registry, multicast, reserved, and a cloud's metadata service
#: that stands on a public address (168.63.129.16).
_SPECIAL_V4 = [
    ipaddress.IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "168.63.129.16/32", "224.0.0.0/4", "240.0.0.0/4"),
    )
]
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
#: What is special inside 2000::/3: protocol assignments (with Teredo, see below), documentation, AS112, 6bone.
_SPECIAL_V6 = [
    ipaddress.IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3ffe::/16", "3fff::/20")
]
_TEREDO = ipaddress.IPv6Network("2001::/32")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)


class Refused(Exception):
    """An address that the guard does not let through.

    Not an ``OSError``: libraries take those for a fault of the network, try again, or wrap them.
    """

    @property
    def reason(self) -> str:
        return str(self)


@dataclass(frozen=True)
class _Rule:
    """One entry of ``allow``: a name or a network or any global address, at one port or at every."""

    host: Optional[str] = None
    network: Optional[Network] = None
    port: Optional[int] = None

    @property
    def everywhere(self) -> bool:
        return self.host is None and self.network is None

    def takes(self, port: int) -> bool:
        return self.port is None or self.port == port


@dataclass(frozen=True)
class Guard:
    """The rules for addresses.

    Attributes:
        enabled: Off, every address and port is let through, and only the spelling of URLs is checked.
        allow: Exceptions: ``host``, ``host:port``, ``10.0.0.0/8``, ``10.0.0.0/8:8080``, ``[fd00::/8]:8080`` let through
            what would be refused, at every port if none is given; ``*:8080`` allows a port of global addresses.

    Raises:
        ValueError: An entry of ``allow`` cannot be read.
    """

    enabled: bool = True
    allow: tuple[str, ...] = ()
    _rules: tuple[_Rule, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "allow", tuple(self.allow))
        object.__setattr__(self, "_rules", tuple(_rule(entry) for entry in self.allow))

    def to_plain(self) -> dict[str, Any]:
        return {"enabled": self.enabled, "allow": list(self.allow)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Guard":
        return cls(enabled=plain.get("enabled", True), allow=tuple(plain.get("allow", ())))

    def check_url(self, url: str) -> tuple[str, str, int]:
        """Take a URL apart, if there is only one way to do so.

        Returns:
            Scheme, host (lower case, no brackets, no trailing dot) and port.

        Raises:
            Refused: It is no plain http or https URL, or leads to a port or an address that is not let through. A name
                that is let through may still have addresses that are not: see ``check_address``.
        """
        scheme, host, port = _split(url)
        address = parse_address(host)
        if address is not None:
            self._check(address, port)
        elif self.enabled and port not in DEFAULT_PORTS.values() and not self._may_allow(host, port):
            raise Refused(f"port {port} is not allowed")
        return scheme, host, port

    def check_address(self, address: str, port: int, host: Optional[str] = None) -> None:
        """Let an address through or not.

        Args:
            address: IPv4 or IPv6 as text.
            port: Where the connection goes to.
            host: The name that was looked up, if there was one.

        Raises:
            Refused: It is not let through.
        """
        parsed = parse_address(address.partition("%")[0])
        if parsed is None:
            raise Refused("it is not an address")
        if self.enabled and not (host is not None and self.allows_host(host, port)):
            if "%" in address:
                raise Refused("addresses with a zone are not allowed")
            self._check(parsed, port)

    def allows_host(self, host: str, port: int) -> bool:
        """Whether a name is let through wherever it leads to."""
        return any(rule.host is not None and rule.host == _bare(host) and rule.takes(port) for rule in self._rules)

    def hosts(self, port: int) -> list[str]:
        """The names that are let through at this port."""
        return [rule.host for rule in self._rules if rule.host is not None and rule.takes(port)]

    def _may_allow(self, host: str, port: int) -> bool:
        networks = any((rule.network or rule.everywhere) and rule.takes(port) for rule in self._rules)
        return networks or self.allows_host(host, port)

    def _check(self, address: Address, port: int) -> None:
        if not self.enabled:
            return
        address = getattr(address, "ipv4_mapped", None) or address
        if any(rule.network and _inside(address, rule.network) and rule.takes(port) for rule in self._rules):
            return
        if not is_global(address):
            raise Refused("the address is not a public one")
        if port not in DEFAULT_PORTS.values() and not any(rule.everywhere and rule.takes(port) for rule in self._rules):
            raise Refused(f"port {port} is not allowed")


def parse_address(text: str) -> Optional[Address]:
    """An address in its usual spelling, no shortened, octal or other odd forms; None for anything else."""
    try:
        if ":" in text:
            return None if "%" in text else ipaddress.IPv6Address(text)
        return ipaddress.IPv4Address(text) if _IPV4.fullmatch(text) else None
    except ValueError:
        return None


def is_global(address: Address) -> bool:
    """Whether an address, and any other inside it, is a global unicast one.

    Not ``ipaddress.is_global``, which says different things in different versions of Python.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    if address.ipv4_mapped is not None:
        return is_global(address.ipv4_mapped)
    number = int(address)
    if address in _NAT64:
        return is_global(ipaddress.IPv4Address(number & 0xFFFFFFFF))
    if address in _SIX_TO_FOUR and not is_global(ipaddress.IPv4Address(number >> 80 & 0xFFFFFFFF)):
        return False
    if (number >> 32) & 0xFFFFFFFF in _ISATAP and not is_global(ipaddress.IPv4Address(number & 0xFFFFFFFF)):
        return False
    if address.teredo is not None:
        return all(is_global(inner) for inner in address.teredo)
    return address in _GLOBAL_V6 and not any(address in network for network in _SPECIAL_V6)


def _split(url: str) -> tuple[str, str, int]:
    if len(url) > MAX_URL_CHARS:
        raise Refused("it is too long")
    if _SLIPPERY.search(url):
        raise Refused("it has spaces, control characters or backslashes in it")
    parts = _URL.fullmatch(url)
    if parts is None:
        if not re.match(r"https?:", url, re.I):
            raise Refused("only http and https are fetched from")
        if re.match(r"https?://[^/?#]*@", url, re.I):
            raise Refused("it has a user name or a password in it")
        raise Refused("it cannot be read in one way only")
    scheme, rest = parts["scheme"].lower(), parts["rest"] or ""
    if not rest.startswith("/") and "@" in rest:
        raise Refused("it cannot be read in one way only")
    return scheme, _host(parts["host"]), _port(parts["port"], scheme)


def _host(text: str) -> str:
    if text.startswith("["):
        if not isinstance(parse_address(text[1:-1]), ipaddress.IPv6Address):
            raise Refused("its host is not an address")
        return text[1:-1].lower()
    if not text.isascii():
        raise Refused("its host is not ASCII: write it in its xn-- form")
    if not _HOST.fullmatch(text) or len(text) > 254:
        raise Refused("its host is not a name")
    if _LIKE_A_NUMBER.fullmatch(text) and parse_address(text) is None:
        raise Refused("its host is an address in an odd form")
    return _bare(text)


def _port(text: Optional[str], scheme: str) -> int:
    if text is None:
        return DEFAULT_PORTS[scheme]
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text) or int(text) > 65535:
        raise Refused("its port is not a number from 1 to 65535")
    return int(text)


def _bare(host: str) -> str:
    return host.lower().rstrip(".")


def _inside(address: Address, network: Network) -> bool:
    return address.version == network.version and address in network


def _rule(entry: str) -> _Rule:
    """Read one entry of ``allow``."""
    text, port = entry.strip(), None
    if text.count(":") == 1 or "]:" in text:
        text, _, digits = text.rpartition(":")
        if not re.fullmatch(r"[1-9][0-9]{0,4}", digits) or int(digits) > 65535:
            raise ValueError(f"{entry!r}: what stands after the colon is not a port")
        port = int(digits)
    text = text.strip("[]")
    if text == "*":
        if port is None:
            raise ValueError("'*' needs a port; to let everything through, switch the guard off")
        return _Rule(port=port)
    try:
        return _Rule(network=ipaddress.ip_network(text, strict=False), port=port)
    except ValueError:
        if not _HOST.fullmatch(text) or _LIKE_A_NUMBER.fullmatch(text):
            raise ValueError(f"{entry!r} is neither a host name nor a network") from None
    return _Rule(host=_bare(text), port=port)


# -- The watch inside a worker -----------------------------------------------------------------------------------------


class Watch:
    """What the guard saw during one call.

    Attributes:
        refusal: The last connection that was refused; a library may have wrapped or hidden what was raised.
    """

    def __init__(self, guard: Guard):
        self.guard = guard
        self.refusal: Optional[Refused] = None

    def see(self, connection: Any, destination: Any) -> None:
        """Look at one connection about to be opened, or one packet about to be sent.

        Raises:
            Refused: It leads to where the guard does not let through.
        """
        if not self.guard.enabled or destination is None:
            return
        if getattr(connection, "family", None) not in (socket.AF_INET, socket.AF_INET6):
            return  # a socket of this machine, which no URL leads to
        host, port = destination[0], destination[1]
        text = host if isinstance(host, str) else bytes(host).decode("ascii", "replace")
        if port == 53 and text in _nameservers():
            return
        try:
            self.guard.check_address(text, port)
        except Refused as refusal:
            if not self._is_allowed_by_name(text, port):
                self.refusal = refusal
                raise

    def _is_allowed_by_name(self, address: str, port: int) -> bool:
        """Whether an address belongs to a name that the operator allows, looked up now."""
        for host in self.guard.hosts(port):
            with contextlib.suppress(OSError, UnicodeError):
                if any(address == found[4][0] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)):
                    return True
        return False


_process_watch: Optional[Watch] = None
_thread_watch: "contextvars.ContextVar[Optional[Watch]]" = contextvars.ContextVar("watch", default=None)
_SEEN = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})


@contextlib.contextmanager
def guarding(guard: Guard) -> Iterator[Watch]:
    """Hold the Python code that runs inside to the guard.

    A worker calls its model on the main thread: there every thread of the process is held to it. Elsewhere, in the
    server's own process, it is only what runs in this context, because other threads connect for other reasons.
    """
    global _process_watch
    watch = Watch(guard)
    _install()
    if threading.current_thread() is threading.main_thread():
        before, _process_watch = _process_watch, watch
        try:
            yield watch
        finally:
            _process_watch = before
    else:
        token = _thread_watch.set(watch)
        try:
            yield watch
        finally:
            _thread_watch.reset(token)


@functools.cache
def _install() -> None:
    """Add the hook, which cannot be taken away again, when the first call needs it."""
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _SEEN:
        watch = _process_watch or _thread_watch.get()
        if watch is not None:
            try:
                watch.see(arguments[0], arguments[1])
            except Refused:
                if event == "socket.connect":
                    arguments[0].close()  # libraries do so by themselves for an OSError only
                raise


@functools.cache
def _nameservers() -> frozenset[str]:
    """Where a resolver written in Python sends its questions."""
    try:
        with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as file:
            return frozenset(
                line.split()[1] for line in file if line.startswith("nameserver") and len(line.split()) > 1
            )
    except OSError:
        return frozenset()
