"""Plain requests to a cluster, and small objects to send."""

import base64

import requests
import yaml

SPACE = "/api/v1/namespaces/data-platform"
APPS = "/apis/apps/v1/namespaces/data-platform"


class Api:
    """Plain requests, so that nothing but the server decides."""

    def __init__(self, cluster, kubeconfig="kubeconfig"):
        content = yaml.safe_load(cluster.kubeconfig.with_name(kubeconfig).read_text())
        self.server = content["clusters"][0]["cluster"]["server"]
        authority = cluster.kubeconfig.with_name(f"{kubeconfig}.authority")
        authority.write_bytes(base64.b64decode(content["clusters"][0]["cluster"]["certificate-authority-data"]))
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(authority)
        self.session.headers["Authorization"] = f"Bearer {content['users'][0]['user']['token']}"
        self.warnings = None

    def ask(self, method, path, body=None, kind="application/json"):
        headers = {"Content-Type": kind}
        given = {"data": body} if isinstance(body, (str, bytes)) else {"json": body}
        answer = self.session.request(method, self.server + path, headers=headers, timeout=10, **given)
        self.warnings = answer.headers.get("Warning")
        return answer.status_code, answer.json()

    def good(self, method, path, body=None, kind="application/json"):
        status, found = self.ask(method, path, body, kind)
        assert status < 300, found
        return found

    def message(self, method, path, body=None, kind="application/json"):
        status, found = self.ask(method, path, body, kind)
        assert found["kind"] == "Status"
        assert found["code"] == status
        return status, found["reason"], found["message"]


def config_map(name, **data):
    return {"metadata": {"name": name}, "data": data}


def deployment(name, **changes):
    container = {"name": "main", "image": "busybox:1"}
    spec = {
        "replicas": 0,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
    }
    return {"metadata": {"name": name}, "spec": {**spec, **changes}}
