"""The ways to reach MLflow, each against a server that demands exactly it."""

import ssl
from contextlib import ExitStack

import pytest

from tests.workers.systems.strict_mlflow import (
    SEARCH,
    VERSION,
    ForwardProxy,
    Strict,
    certificates,
    proxying,
    serving,
)
from workers.errors import OperatorError
from workers.systems.errors import TrackingGuarded, TrackingUnauthorized, TrackingUnreachable
from workers.systems.mlflow.access import Access
from workers.systems.mlflow.tracking import Tracking

BASIC = "Basic YWRhOmh1bnRlcjI="
USER = {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "hunter2"}


@pytest.fixture(scope="module")
def pems(tmp_path_factory):
    return certificates(tmp_path_factory.mktemp("pems"))


@pytest.fixture
def serve():
    with ExitStack() as stack:
        yield lambda context=None, **more: stack.enter_context(serving(Strict(**more), context))


@pytest.fixture
def proxy():
    with proxying(ForwardProxy()) as made:
        yield made


@pytest.fixture
def ask(configured):
    def put(url, **variables):
        tracking = Tracking.connect(configured(MLFLOW_TRACKING_URI=url, **variables)).within(5)
        found = tracking.search_experiments()
        assert tracking.afresh().version() == VERSION
        return found

    return put


def test_a_user_and_password_are_shown_and_go_before_a_token(serve, ask):
    server = serve(authorization=BASIC)
    for more in (USER, USER | {"MLFLOW_TRACKING_TOKEN": "t"}):
        assert ask(server.url, **more)
    with pytest.raises(TrackingUnauthorized, match="asks for a user and password"):
        ask(server.url)
    with pytest.raises(TrackingUnauthorized, match="does not accept our user and password"):
        ask(server.url, **USER | {"MLFLOW_TRACKING_PASSWORD": "hunter3"})
    with pytest.raises(TrackingUnauthorized, match="does not accept our token"):
        ask(server.url, MLFLOW_TRACKING_TOKEN="t")


def test_a_token_is_shown_as_a_bearer(serve, ask):
    assert ask(serve(authorization="Bearer s3cret").url, MLFLOW_TRACKING_TOKEN="s3cret")


@pytest.mark.parametrize("slash", ["", "/"])
def test_below_a_prefix(serve, ask, slash):
    server = serve(prefix="/tools/mlflow")
    assert ask(server.url + slash)
    assert {path.partition("?")[0] for _, path, _ in server.asked} == {
        f"/tools/mlflow{SEARCH}",
        "/tools/mlflow/version",
    }


def test_the_prefix_is_named_where_it_is_missing(serve, ask):
    server = serve(prefix="/tools/mlflow")
    with pytest.raises(OperatorError, match=r"answers 404 .*--static-prefix"):
        ask(server.url.removesuffix("/tools/mlflow"))


def test_of_several_hosts_the_one_that_mlflow_does_not_know_is_named(serve, ask):
    server = serve()
    server.hosts = (f"127.0.0.1:{server.port}",)
    assert ask(server.url)
    with pytest.raises(
        OperatorError, match=r"requests for the host localhost.*--allowed-hosts 'localhost,localhost:\*'"
    ):
        ask(server.url.replace("127.0.0.1", "localhost"))


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE"])
def test_a_private_authority_is_trusted_by_its_variable_and_by_nothing_else(serve, ask, pems, variable):
    server = serve(pems.context())
    assert ask(server.url, **{variable: pems.authority})
    with pytest.raises(TrackingUnreachable, match=r"certificate that we trust: .*MLFLOW_TRACKING_SERVER_CERT_PATH"):
        ask(server.url)
    with pytest.raises(TrackingUnreachable, match="certificate that we trust"):
        ask(server.url, **{variable: pems.client})


def test_a_certificate_for_another_host_is_not_trusted(serve, ask, pems):
    url = serve(pems.context()).url.replace("127.0.0.1", "0.0.0.0")
    with pytest.raises(TrackingUnreachable, match=r"trust: .*0\.0\.0\.0"):
        ask(url, MLFLOW_TRACKING_SERVER_CERT_PATH=pems.authority)
    assert ask(url, MLFLOW_TRACKING_INSECURE_TLS="true")


@pytest.mark.parametrize("on", ["true", "1", "TRUE"])
def test_checking_certificates_can_be_turned_off(serve, ask, pems, on):
    assert ask(serve(pems.context()).url, MLFLOW_TRACKING_INSECURE_TLS=on)


def test_both_at_once_are_refused_as_mlflow_does(ask, pems):
    both = {"MLFLOW_TRACKING_INSECURE_TLS": "true", "MLFLOW_TRACKING_SERVER_CERT_PATH": pems.authority}
    with pytest.raises(OperatorError, match="both set"):
        ask("https://127.0.0.1:1", **both)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_is_shown(serve, ask, pems, version):
    context = pems.context(asks_clients=True)
    context.maximum_version = version
    server = serve(context)
    trusting = {"MLFLOW_TRACKING_SERVER_CERT_PATH": pems.authority}
    assert ask(server.url, **trusting, MLFLOW_TRACKING_CLIENT_CERT_PATH=pems.client)
    # Of TLS 1.3 the client may hear no more than that the connection was cut, as it happens.
    told = "asks for a client certificate" if version is ssl.TLSVersion.TLSv1_2 else "MLflow at 127.0.0.1"
    with pytest.raises(TrackingUnreachable, match=told):
        ask(server.url, **trusting)


@pytest.mark.parametrize(
    "variable", ["MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE", "MLFLOW_TRACKING_CLIENT_CERT_PATH"]
)
def test_a_file_that_cannot_be_used_is_named(ask, tmp_path, variable):
    (tmp_path / "empty").touch()
    with pytest.raises(OperatorError, match=f"{variable} names .*missing, which does not exist"):
        ask("https://127.0.0.1:1", **{variable: str(tmp_path / "missing")})
    with pytest.raises(OperatorError, match=f"{variable} names .*empty, which does not hold"):
        ask("https://127.0.0.1:1", **{variable: str(tmp_path / "empty")})


def test_tls_where_there_is_none_is_told(serve, ask):
    with pytest.raises(TrackingUnreachable, match=r"does not speak TLS.*http://"):
        ask(serve().url.replace("http:", "https:"))


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_passes_on(serve, ask, proxy, variable):
    server = serve()
    assert ask(server.url, **{variable: f"http://127.0.0.1:{proxy.port}"})
    assert {method for method, _ in proxy.asked} == {"GET"}


def test_a_proxy_makes_a_tunnel_to_tls(serve, ask, proxy, pems):
    server = serve(pems.context())
    variables = {"HTTPS_PROXY": f"127.0.0.1:{proxy.port}", "MLFLOW_TRACKING_SERVER_CERT_PATH": pems.authority}
    assert ask(server.url, **variables)
    assert set(proxy.asked) == {("CONNECT", f"127.0.0.1:{server.port}")}


def test_a_proxy_asks_for_a_password(serve, ask, proxy, pems):
    proxy.demands = "ada:p@ss"
    plain, secure = serve(), serve(pems.context())
    trusting = {"MLFLOW_TRACKING_SERVER_CERT_PATH": pems.authority}
    with pytest.raises(TrackingGuarded, match=f"The proxy 127.0.0.1:{proxy.port} asks for a user and password"):
        ask(plain.url, HTTP_PROXY=f"http://127.0.0.1:{proxy.port}")
    with pytest.raises(TrackingUnreachable, match=f"The proxy 127.0.0.1:{proxy.port} on the way .*not let us through"):
        ask(secure.url, HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}", **trusting)
    address = f"http://ada:p%40ss@127.0.0.1:{proxy.port}"
    assert ask(plain.url, HTTP_PROXY=address)
    assert ask(secure.url, HTTPS_PROXY=address, **trusting)


def test_a_proxy_that_is_gone_is_named_and_its_password_is_not(serve, ask, closed):
    with pytest.raises(TrackingUnreachable) as caught:
        ask(serve().url, HTTP_PROXY=f"http://ada:hunter2@127.0.0.1:{closed}")
    assert f"The proxy 127.0.0.1:{closed} on the way to MLflow" in caught.value.message
    assert "refuses connections" in caught.value.message
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("left_out", ["127.0.0.1", "*", "10.0.0.1,127.0.0.0/8", "127.0.0.1:{port}"])
def test_hosts_without_a_proxy(serve, ask, closed, left_out):
    server = serve()
    names = left_out.format(port=server.port)
    assert ask(server.url, HTTP_PROXY=f"http://127.0.0.1:{closed}", NO_PROXY=names)
    assert ask(server.url, HTTP_PROXY=f"http://127.0.0.1:{closed}", no_proxy=names)


@pytest.mark.parametrize(
    ("host", "no_proxy", "bypassed"),
    [
        ("mlflow.data-platform.svc.cluster.local", ".cluster.local", True),
        ("mlflow.data-platform.svc.cluster.local", "svc.cluster.local, 10.0.0.0/8", True),
        ("MLflow.example.com", "mlflow.example.com", True),
        ("notexample.com", "example.com", False),
        ("10.1.2.3", "192.168.0.0/16,10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("mlflow", "", False),
    ],
)
def test_names_domains_and_networks_without_a_proxy(configured, host, no_proxy, bypassed):
    access = Access.of(
        configured(MLFLOW_TRACKING_URI=f"http://{host}:5000", HTTP_PROXY="http://proxy:3128", NO_PROXY=no_proxy)
    )
    assert (access.proxy == "") is bypassed


def test_a_proxy_of_another_kind_is_refused(ask):
    with pytest.raises(OperatorError, match="ALL_PROXY is not an HTTP proxy's address"):
        ask("http://127.0.0.1:1", ALL_PROXY="socks5://127.0.0.1:1080")
