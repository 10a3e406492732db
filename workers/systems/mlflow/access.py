"""How MLflow is reached: credentials, certificates and a proxy, from the variables that MLflow's own client reads.

They mean what they mean there (mlflow/utils/credentials.py, utils/rest_utils.py, and requests beneath it): a user and
password go before a token; a CA that is named takes the place of the system's; a proxy is used unless NO_PROXY names
the host. The trap is a file that is not there: it must not end in trusting what others trust.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import urllib3

from workers.errors import OperatorError

if TYPE_CHECKING:
    from pathlib import Path

    from workers.settings import Settings
    from workers.settings.environment import Environment

CONNECTIONS: Final = 16
_SERVER_CERTIFICATE: Final = "MLFLOW_TRACKING_SERVER_CERT_PATH"
_CLIENT_CERTIFICATE: Final = "MLFLOW_TRACKING_CLIENT_CERT_PATH"


@dataclass(frozen=True)
class Access:
    """The way to one MLflow. base: its address without credentials; user: whom we are there, else empty.

    tls: None for http. proxy: its address without credentials; empty for none.
    """

    base: str
    headers: dict[str, str]
    user: str = ""
    by_token: bool = False
    tls: ssl.SSLContext | None = None
    proxy: str = ""
    proxy_headers: dict[str, str] | None = None

    @classmethod
    def of(cls, settings: Settings) -> Access:
        """From MLFLOW_TRACKING_URI and what belongs to it.

        Raises SettingsError if that is not set, OperatorError if a file that is named cannot be used.
        """
        environment = settings.environment
        environment.require("mlflow_tracking_uri")
        parts = urlsplit(str(environment.mlflow_tracking_uri))
        user, password = _user(environment, parts)
        token = environment.mlflow_tracking_token
        headers = {"User-Agent": "mlflow-ops", "Accept": "application/json"}
        if user:
            headers |= urllib3.make_headers(basic_auth=f"{user}:{password}")
        elif token is not None:
            headers["Authorization"] = f"Bearer {token.get_secret_value()}"
        proxy, proxy_headers = _proxy(environment, parts)
        return cls(
            base=_bare(parts).rstrip("/"),
            headers=headers,
            user=user,
            by_token=bool(token) and not user,
            tls=_tls(environment) if parts.scheme == "https" else None,
            proxy=proxy,
            proxy_headers=proxy_headers,
        )

    @property
    def address(self) -> str:
        """host:port."""
        return _address(urlsplit(self.base))

    @property
    def host(self) -> str:
        """As the Host header has it, without the port."""
        return urlsplit(self.base).hostname or ""

    def pool(self) -> urllib3.PoolManager:
        """Connections of that kind; nothing is tried twice, no redirect is followed."""
        if self.proxy:
            return urllib3.ProxyManager(
                self.proxy,
                proxy_headers=self.proxy_headers,
                ssl_context=self.tls,
                maxsize=CONNECTIONS,
                retries=False,
            )
        return urllib3.PoolManager(ssl_context=self.tls, maxsize=CONNECTIONS, retries=False)


def _user(environment: Environment, parts: SplitResult) -> tuple[str, str]:
    if environment.mlflow_tracking_username:
        password = environment.mlflow_tracking_password
        return environment.mlflow_tracking_username, password.get_secret_value() if password else ""
    return unquote(parts.username or ""), unquote(parts.password or "")


def _bare(parts: SplitResult) -> str:
    """The address without user and password, which stay out of what is shown."""
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _address(parts: SplitResult) -> str:
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _tls(environment: Environment) -> ssl.SSLContext:
    named, bundle = environment.mlflow_tracking_server_cert_path, environment.requests_ca_bundle
    if environment.mlflow_tracking_insecure_tls and named is not None:
        raise OperatorError(
            f"MLFLOW_TRACKING_INSECURE_TLS and {_SERVER_CERTIFICATE} are both set: MLflow's own client refuses that.",
            "Set one of them: the first checks no certificate at all.",
        )
    context = ssl.create_default_context()
    if environment.mlflow_tracking_insecure_tls:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif named is not None:
        context = _trusting(named, _SERVER_CERTIFICATE)
    elif bundle is not None:
        context = _trusting(bundle, "REQUESTS_CA_BUNDLE")
    if own := environment.mlflow_tracking_client_cert_path:
        try:
            context.load_cert_chain(own)
        except (OSError, ssl.SSLError):
            raise _unusable(own, _CLIENT_CERTIFICATE, "a certificate and its key, both as PEM") from None
    return context


def _trusting(path: Path, variable: str) -> ssl.SSLContext:
    """A context that trusts these CAs and no others, as requests does."""
    wanted = "a CA's certificate as PEM"
    try:
        context = ssl.create_default_context(
            cafile=None if path.is_dir() else str(path), capath=str(path) if path.is_dir() else None
        )
    except (OSError, ssl.SSLError):
        raise _unusable(path, variable, wanted) from None
    if not path.is_dir() and not context.cert_store_stats()["x509"]:
        raise _unusable(path, variable, wanted)
    return context


def _unusable(path: Path, variable: str, wanted: str) -> OperatorError:
    if not path.exists():
        return OperatorError(f"{variable} names {path}, which does not exist.", f"It must hold {wanted}.")
    return OperatorError(f"{variable} names {path}, which does not hold {wanted}.", "Or our account may not read it.")


def _proxy(environment: Environment, parts: SplitResult) -> tuple[str, dict[str, str] | None]:
    """The proxy's address and our credentials for it; empty where MLflow is asked without one."""
    of_scheme = environment.https_proxy if parts.scheme == "https" else environment.http_proxy
    given = of_scheme or environment.all_proxy
    if given is None or _bypassed(parts, environment.no_proxy or ""):
        return "", None
    text = given.get_secret_value()
    proxy = urlsplit(text if "://" in text else f"http://{text}")
    if proxy.scheme not in {"http", "https"} or not proxy.hostname:
        variable = f"{parts.scheme.upper()}_PROXY" if of_scheme else "ALL_PROXY"
        raise OperatorError(
            f"{variable} is not an HTTP proxy's address.",
            "Write it as http://host:3128, or name MLflow in NO_PROXY.",
        )
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}" if proxy.username else None
    return _bare(proxy), urllib3.make_headers(proxy_basic_auth=pair) if pair else None


def _bypassed(parts: SplitResult, no_proxy: str) -> bool:
    """By NO_PROXY's names and domains, as everywhere, and by its networks, as requests reads them."""
    host = parts.hostname or ""
    names = [name.strip().lower().lstrip(".") for name in no_proxy.split(",") if name.strip()]
    if any(name in {"*", host, f"{host}:{parts.port}"} or host.endswith(f".{name}") for name in names):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in map(_network, names) if network)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None
