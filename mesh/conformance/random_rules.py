"""Random rules: VirtualServices and DestinationRules that nobody would write, all of them valid.

What a rule decides must not depend on a draw, else two engines could not be compared: shares are
0 or everything, subsets have one pod, a balanced service is chosen by a hash.  The words are few,
so that rules and requests (``random_traffic``) meet.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

Data = dict[str, Any]
PATHS = (
    *("/", "/a", "/A", "/a/", "/a/b", "/ab", "/a/b/c", "/api/v1/items", "/api/v2/items"),
    *("/shop/1", "/SHOP/1", "//a", "/a%20b", "/a+b", "/a;b=1/c"),
)
PREFIXES = ("/", "/a", "/a/", "/A", "/api", "/api/v", "/shop/", "", "/a/b", "//")
REGEXES = (
    *(".*", "/a.*", "/api/v[0-9]+/items", "/(a|b)/?.*", "^/a$", "/a/b?", "(?i)/shop/.*", "/[^/]+"),
    *("/a/(b|c).*", ".*items", "/\\w+/\\d"),
)
HEADERS = ("x-user", "x-group", "X-Mixed", "user-agent", "cookie")
VALUES = ("jason", "Jason", "", "anna", "a,b", "1", "user=jason; theme=dark")
VALUE_REGEXES = (".*", "j.*", "[a-z]+", "^jason$", "(a|b).*", ".*user=jason.*", ".+", "\\d")
METHODS = ("GET", "GET", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")
QUERIES = ("v", "page", "x")
QUERY_VALUES = ("", "1", "2", "a%20b")
AUTHORITIES = ("backend:8080", "backend", "shop.example", "backend.tutorial:8080")
ORIGINS = ("http://a.example", "https://b.example", "http://a.example:8080", "null")
FORMATS = (
    *("plain", "%REQ(x-user)%", "%REQ(:METHOD)%", "%PROTOCOL%", "100%%", "%REQ(x-none?x-user)%"),
    *("a%REQ(X-Mixed):2%b", "%REQ(:AUTHORITY)%", "", "two words"),
)
SUBSETS = ("v1", "v2")
RETRY_ON = (
    *("5xx", "gateway-error", "connect-failure", "reset", "retriable-4xx", "refused-stream"),
    *(
        "retriable-status-codes",
        "503",
        "418,409",
        "connect-failure,refused-stream,503",
        "unavailable",
    ),
    *("reset-before-request", "envoy-ratelimited,5xx", "5xx,reset,connect-failure", "cancelled"),
)


class Rules:
    """Draws rules; with ``limited`` every rule has a timeout, so that an answer may never come."""

    def __init__(self, rng: Random, *, limited: bool) -> None:
        self.rng = rng
        self.limited = limited
        self.one: Callable[..., Any] = rng.choice

    def chance(self, share: float) -> bool:
        """Draw yes or no; yes with probability ``share``."""
        return self.rng.random() < share

    def maybe(self, share: float, data: Data, key: str, make: Callable[[], Any]) -> None:
        """Write ``key`` with a probability of ``share``."""
        if self.chance(share):
            data[key] = make()

    # Conditions.

    def text(self, exact: tuple[str, ...], regexes: tuple[str, ...]) -> Data:
        """Draw a StringMatch."""
        kind = self.rng.random()
        value = str(self.one(exact))
        if kind < 0.4:
            return {"exact": value}
        if kind < 0.7 and value:
            return {"prefix": value[: self.rng.randint(1, len(value))]}
        return {"regex": self.one(regexes)}

    def uri(self) -> Data:
        """Draw a condition on the path."""
        kind = self.rng.random()
        if kind < 0.3:
            return {"exact": self.one(PATHS)}
        return {"prefix": self.one(PREFIXES)} if kind < 0.7 else {"regex": self.one(REGEXES)}

    def value(self) -> Data:
        """Draw a condition on a header; ``{}`` is presence."""
        return {} if self.chance(0.25) else self.text(VALUES, VALUE_REGEXES)

    def match(self) -> Data:
        """Draw one match block."""
        block: Data = {}
        self.maybe(0.75, block, "uri", self.uri)
        self.maybe(0.25, block, "ignoreUriCase", lambda: True)
        self.maybe(0.25, block, "method", lambda: self.text(METHODS, ("P.*", "GET|HEAD", ".*")))
        self.maybe(0.35, block, "headers", lambda: self._conditions(HEADERS, self.value))
        self.maybe(0.2, block, "withoutHeaders", lambda: self._conditions(HEADERS, self.value))
        self.maybe(0.25, block, "queryParams", lambda: self._conditions(QUERIES, self._query))
        self.maybe(0.1, block, "authority", lambda: self.text(AUTHORITIES, ("back.*", "[a-z.]+")))
        self.maybe(0.07, block, "scheme", lambda: {"exact": self.one(("http", "https"))})
        self.maybe(0.07, block, "port", lambda: self.one((8080, 80, 9090)))
        self.maybe(0.07, block, "sourceLabels", lambda: {"tier": self.one(("front", "back"))})
        self.maybe(0.05, block, "sourceNamespace", lambda: self.one(("tutorial", "sales")))
        self.maybe(0.1, block, "name", lambda: self.one(("block", "other-block")))
        return block or {"uri": {"prefix": "/"}}

    def _conditions(self, names: tuple[str, ...], value: Callable[[], Data]) -> Data:
        return {name: value() for name in self.rng.sample(names, self.rng.randint(1, 2))}

    def _query(self) -> Data:
        return {} if self.chance(0.25) else self.text(QUERY_VALUES, (".*", "[0-9]+", "a.*"))

    # Actions.

    def destination(self) -> Data:
        """Draw where to: mostly a subset of one pod, sometimes what is not there."""
        kind = self.rng.random()
        if kind < 0.72:
            return {"host": "backend", "subset": self.one(SUBSETS), "port": {"number": 8080}}
        if kind < 0.82:
            return {"host": "inner"}
        if kind < 0.88:
            return {"host": self.one(("absent", "refusing", "nowhere"))}
        if kind < 0.92:
            return {"host": "backend", "subset": "v9", "port": {"number": 8080}}
        return {"host": "many"}

    def headers(self) -> Data:
        """Draw header operations."""
        out: Data = {}
        self.maybe(0.7, out, "request", lambda: self._operations(request=True))
        self.maybe(0.6, out, "response", lambda: self._operations(request=False))
        return out

    def _operations(self, *, request: bool) -> Data:
        own = ("x-user", "x-added", "X-Mixed", "user-agent") if request else ("x-reason", "x-added")
        removable = (*HEADERS, "x-forwarded-proto") if request else ("x-reason", "server", "x-more")
        formats = (
            FORMATS
            if request
            else (*FORMATS, "%RESPONSE_CODE%", "%RESPONSE_FLAGS%", "%ROUTE_NAME%")
        )
        out: Data = {}
        self.maybe(0.6, out, "set", lambda: {self.one(own): self.one(formats)})
        self.maybe(0.5, out, "add", lambda: {self.one(own): self.one(formats)})
        self.maybe(0.4, out, "remove", lambda: [self.one(removable)])
        return out

    def redirect(self) -> Data:
        """Draw a redirect."""
        out: Data = {}
        self.maybe(0.6, out, "uri", lambda: self.one(("/new", "/new?z=1", "/")))
        self.maybe(0.4, out, "authority", lambda: self.one(("new.example", "new.example:81")))
        self.maybe(0.3, out, "scheme", lambda: self.one(("http", "https")))
        self.maybe(0.3, out, "redirectCode", lambda: self.one((301, 302, 303, 307, 308)))
        if self.chance(0.3):
            kind = "port" if self.chance(0.5) else "derivePort"
            out[kind] = self.one((80, 443, 8443)) if kind == "port" else "FROM_REQUEST_PORT"
        return out if set(out) - {"redirectCode"} else {**out, "uri": "/new"}

    def direct_response(self) -> Data:
        """Draw an answer of the sidecar itself."""
        out: Data = {"status": self.one((200, 204, 304, 404, 418, 503, 599))}
        self.maybe(0.6, out, "body", lambda: {"string": self.one(("", "hello", '{"a": 1}'))})
        return out

    def rewrite(self) -> Data:
        """Draw a rewrite."""
        out: Data = {}
        if self.chance(0.3):
            match = self.one(("^/a/(.*)$", "/a", "(/api)/(v[0-9])", "[a-z]", "b*"))
            count = match.count("(")
            out["uriRegexRewrite"] = {
                "match": match,
                "rewrite": self.one(("/z", "\\0x", "/z/\\1" if count else "/y")),
            }
        elif self.chance(0.8):
            out["uri"] = self.one(("/", "/new", "/new/", "new"))
        if not out or self.chance(0.3):
            out["authority"] = self.one(("shop.example", "shop.example:81"))
        return out

    def fault(self) -> Data:
        """Draw a fault that happens always or never."""
        out: Data = {}
        share: Data = {"percentage": {"value": self.one((100, 100, 0))}}
        if self.chance(0.6):
            out["abort"] = {"httpStatus": self.one((418, 503, 200, 404)), **share}
        if not out or self.chance(0.4):
            out["delay"] = {"fixedDelay": "2ms", **self.one(({"percent": 100}, share, {}))}
        return out

    def cors(self) -> Data:
        """Draw a CORS policy."""
        out: Data = {"allowOrigins": [self.text(ORIGINS, ("https?://a.*", ".*"))]}
        self.maybe(0.7, out, "allowMethods", lambda: ["GET", "POST"])
        self.maybe(0.5, out, "allowHeaders", lambda: ["x-user", "x-group"])
        self.maybe(0.4, out, "exposeHeaders", lambda: ["x-reason"])
        self.maybe(0.4, out, "maxAge", lambda: self.one(("24h", "90s")))
        self.maybe(0.5, out, "allowCredentials", lambda: self.chance(0.5))
        unmatched = ("IGNORE", "FORWARD", "UNSPECIFIED")
        self.maybe(0.4, out, "unmatchedPreflights", lambda: self.one(unmatched))
        return out

    def retries(self) -> Data:
        """Draw a retry policy."""
        out: Data = {"attempts": self.one((0, 1, 2, 3))}
        if out["attempts"]:
            out["backoff"] = "1ms"
            self.maybe(0.8, out, "retryOn", lambda: self.one(RETRY_ON))
            self.maybe(0.6 if self.limited else 0, out, "perTryTimeout", lambda: "300ms")
            self.maybe(0.2, out, "retryIgnorePreviousHosts", lambda: self.chance(0.5))
        return out

    def rule(self) -> Data:
        """Draw one ``http`` entry."""
        rule: Data = {}
        self.maybe(0.5, rule, "name", lambda: f"rule-{self.rng.randint(1, 9)}")
        self.maybe(0.85, rule, "match", lambda: [self.match() for _ in range(self.one((1, 1, 2)))])
        self.maybe(0.3, rule, "headers", self.headers)
        self.maybe(0.15, rule, "corsPolicy", self.cors)
        kind = self.rng.random()
        if kind < 0.1:
            rule["redirect"] = self.redirect()
        elif kind < 0.2:
            rule["directResponse"] = self.direct_response()
        else:
            self._route(rule)
        return rule

    def _route(self, rule: Data) -> None:
        first: Data = {"destination": self.destination()}
        self.maybe(0.2, first, "headers", self.headers)
        rule["route"] = [first]
        if self.chance(0.2):
            first["weight"] = self.one((1, 50, 100))
            rule["route"].append({"destination": self.destination(), "weight": 0})
        self.maybe(0.25, rule, "rewrite", self.rewrite)
        self.maybe(0.12, rule, "fault", self.fault)
        self.maybe(0.3, rule, "retries", self.retries)
        if self.limited:
            rule["timeout"] = "700ms"
        else:
            self.maybe(0.15, rule, "timeout", lambda: "30s")
        if self.chance(0.12):
            mirror = {"host": "backend", "subset": self.one(SUBSETS), "port": {"number": 8080}}
            if self.chance(0.5):
                rule["mirror"] = mirror
                self.maybe(0.4, rule, "mirrorPercentage", lambda: {"value": self.one((100, 0))})
            else:
                rule["mirrors"] = [{"destination": mirror} for _ in range(self.one((1, 2)))]

    # Resources.

    def virtual_service(self) -> Data:
        """Draw a VirtualService for the service ``backend`` and a name of the gateway."""
        rules = [self.rule() for _ in range(self.one((1, 2, 3, 4, 6)))]
        return _resource(
            "VirtualService",
            "backend",
            {
                "hosts": ["backend", "shop.example"],
                "gateways": ["mesh", "front"],
                "http": rules,
            },
        )

    def balancing(self) -> Data:
        """Draw a hash, by which the service ``many`` chooses one of its pods."""
        key: Data = self.one(
            (
                {"httpHeaderName": "x-key"},
                {"httpQueryParameterName": "key"},
                {"httpCookie": {"name": "key", "ttl": "0s"}},
                {"useSourceIp": True},
            )
        )
        kind = self.one(({}, {"ringHash": {"minimumRingSize": 64}}, {"maglev": {"tableSize": 251}}))
        policy = {"loadBalancer": {"consistentHash": {**key, **kind}}}
        return _resource("DestinationRule", "many", {"host": "many", "trafficPolicy": policy})

    def subsets(self) -> Data:
        """Draw the DestinationRule of ``backend``: a hash of the header x-key, and policies."""
        subsets: list[Data] = [{"name": each, "labels": {"version": each}} for each in SUBSETS]
        policy: Data = {"loadBalancer": {"consistentHash": {"httpHeaderName": "x-key"}}}
        if self.chance(0.2):
            policy = {**self.policy(), **policy}  # the hash stays, else a pod would be drawn
        self.maybe(0.6, subsets[0], "trafficPolicy", self.policy)
        self.maybe(0.3, subsets[1], "trafficPolicy", self.policy)
        spec = {"host": "backend", "trafficPolicy": policy, "subsets": subsets}
        return _resource("DestinationRule", "backend", spec)

    def policy(self) -> Data:
        """Draw a balancer and limits.

        No outlier detection: Envoy ejects on another thread, so what the next request meets is a
        race there.
        """
        out: Data = {}
        if self.chance(0.5):
            out["loadBalancer"] = {"simple": self.one(("ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"))}
        if not out or self.chance(0.3):
            http = {"maxRequestsPerConnection": self.one((1, 2))}
            out["connectionPool"] = {"http": http, "tcp": {"connectTimeout": "5s"}}
        return out


def gateway() -> Data:
    """Return the Gateway, for one host and all others."""
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["shop.example"]}
    spec = {"selector": {"istio": "ingressgateway"}, "servers": [server]}
    return _resource("Gateway", "front", spec)


def _resource(kind: str, name: str, spec: Data) -> Data:
    version = "networking.istio.io/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
