"""Ask the API server: every call that the controller makes goes through here.

`CALLS` is the list of what it may ask for; the ClusterRole in the manifests allows no more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from cluster.kubernetes.resource import GROUP, PLURAL, VERSION
from envs.errors import OptionError, TunerError, one_line
from envs.optional import optional_import

#: Groups and versions of the resources, by their plural.
PATHS = {
    "nodes": "/api/v1",
    "pods": "/api/v1",
    "services": "/api/v1",
    "events": "/api/v1",
    "deployments": "/apis/apps/v1",
    "leases": "/apis/coordination.k8s.io/v1",
    PLURAL: f"/apis/{GROUP}/{VERSION}",
    f"{PLURAL}/status": f"/apis/{GROUP}/{VERSION}",
}

#: What the controller asks for, by resource. `watch` is for kopf, which wakes it.
CALLS: Mapping[str, frozenset[str]] = {
    "nodes": frozenset({"list", "watch"}),
    "pods": frozenset({"list", "watch"}),
    "services": frozenset({"list", "create", "update", "delete"}),
    "events": frozenset({"create"}),
    "deployments": frozenset({"list", "watch", "create", "update", "delete"}),
    "leases": frozenset({"get", "create", "update"}),
    PLURAL: frozenset({"list", "watch"}),
    f"{PLURAL}/status": frozenset({"patch"}),
}

METHODS = {
    "list": "GET", "get": "GET", "create": "POST", "update": "PUT", "patch": "PATCH",
    "delete": "DELETE",
}  # fmt: skip

#: The longest that one request may take [s]; less than a lease is held after its last renewal.
TIMEOUT_S = 4.0

#: Objects of one page of a list.
PAGE = 500


class ApiError(TunerError):
    """The API server refused a request.

    Attributes:
        status: of HTTP; 409 if somebody else was faster, 404 if the object is gone.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Unreachable(TunerError):
    """The API server did not answer, or is too busy to."""


class Client:
    """A connection to an API server.

    Args:
        kubeconfig: file with its address and credentials; by default those of the pod, or of
            `~/.kube/config`.

    Raises:
        DependencyError: the package `kubernetes` is missing.
        OptionError: the file cannot be used.
    """

    def __init__(self, kubeconfig: Path | None = None) -> None:
        client = optional_import("kubernetes.client", "kubernetes")
        self.configuration = client.Configuration()
        self.configuration.retries = False
        _load(self.configuration, kubeconfig)
        self._rest = optional_import("kubernetes.client.rest", "kubernetes").RESTClientObject(
            self.configuration
        )

    def list(self, resource: str, namespace: str = "", labels: str = "") -> list[dict[str, Any]]:
        """Return the objects of a resource, of one namespace or of all."""
        found: list[dict[str, Any]] = []
        following = ""
        while True:
            query = {"limit": str(PAGE), "labelSelector": labels, "continue": following}
            page = self.ask("list", resource, namespace, query=query)
            found += page.get("items") or []
            following = (page.get("metadata") or {}).get("continue") or ""
            if not following:
                return found

    def ask(
        self,
        verb: str,
        resource: str,
        namespace: str = "",
        name: str = "",
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Make one request, and return the object that the server answers with.

        Args:
            verb: of `CALLS`.
            resource: plural, with `/status` for that part.
            namespace: of the object; empty for all, or for what has none.
            name: of the object.
            body: what is sent.
            query: parameters; empty ones are left out.

        Raises:
            ApiError: the server refused it.
            Unreachable: the server did not answer.
        """
        assert verb in CALLS[resource], f"{verb} {resource} is no call of the controller"
        plural, _, part = resource.partition("/")
        path = PATHS[resource] + (f"/namespaces/{quote(namespace)}" if namespace else "")
        path += f"/{plural}" + (f"/{quote(name)}" if name else "") + (f"/{part}" if part else "")
        given = {key: value for key, value in (query or {}).items() if value}
        url = self.configuration.host + path + (f"?{urlencode(given)}" if given else "")
        status, text = self._send(METHODS[verb], url, body)
        if 200 <= status < 300:
            try:
                answer: dict[str, Any] = json.loads(text)
            except ValueError:
                raise Unreachable(f"the answer to {verb} {resource} is no JSON") from None
            return answer
        what = f"{verb} {resource} {namespace}/{name}".rstrip("/ ")
        raise _error(status, what, text)

    def _send(self, method: str, url: str, body: Mapping[str, Any] | None) -> tuple[int, str]:
        urllib3 = optional_import("urllib3.exceptions", "kubernetes")
        util = optional_import("urllib3.util", "kubernetes")
        patch = "application/merge-patch+json"
        headers = {"Accept": "application/json", "User-Agent": "orin-tuner-controller"}
        if body is not None:
            headers["Content-Type"] = patch if method == "PATCH" else "application/json"
        token = bearer(self.configuration)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            answer = self._rest.pool_manager.request(
                method,
                url,
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=util.Timeout(total=TIMEOUT_S),
                retries=False,
            )
        except (urllib3.HTTPError, OSError) as error:
            raise Unreachable(
                f"the API server at {self.configuration.host} does not answer: {one_line(error)}"
            ) from None
        return int(answer.status), answer.data.decode("utf-8", "replace")


def bearer(configuration: Any) -> str:
    """Return the token of a configuration, read anew where it comes from a file."""
    for name in ("BearerToken", "authorization"):
        found = configuration.get_api_key_with_prefix(name)
        if found:
            return str(found).removeprefix("Bearer ").removeprefix("bearer ")
    return ""


def _load(configuration: Any, kubeconfig: Path | None) -> None:
    """Read address and credentials into a configuration."""
    config = optional_import("kubernetes.config", "kubernetes")
    yaml = optional_import("yaml", "kubernetes")
    try:
        if kubeconfig is None:
            try:
                config.load_incluster_config(configuration)
                return
            except config.ConfigException:
                pass
        file = None if kubeconfig is None else str(kubeconfig)
        config.load_kube_config(file, client_configuration=configuration, persist_config=False)
    except (config.ConfigException, yaml.YAMLError, OSError, ValueError) as error:
        where = kubeconfig or "neither the service account of a pod nor ~/.kube/config"
        raise OptionError(f"--kubeconfig: {where} cannot be used: {one_line(error)}") from None


def _error(status: int, what: str, text: str) -> TunerError:
    """Return what an answer of the server means."""
    try:
        said = str(json.loads(text).get("message") or text)
    except (ValueError, AttributeError):
        said = text
    said = said[:300]
    if status == 429 or status >= 500:
        return Unreachable(f"the API server cannot {what} now ({status}): {said}")
    if status == 404 and resource_is_missing(said):
        return ApiError(
            status,
            f"the cluster does not know {PLURAL}: kubectl apply -k the folder of the manifests",
        )
    if status in (401, 403):
        return ApiError(status, f"the controller may not {what} ({status}): {said}")
    return ApiError(status, f"{what}: {said}")


def resource_is_missing(message: str) -> bool:
    """Return True for the answer to a path that the server does not have."""
    return "could not find the requested resource" in message or "page not found" in message
