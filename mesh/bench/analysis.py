"""How long an analysis of many resources takes: reading, validating, comparing all with all."""

from __future__ import annotations

import time

_SET = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: s{n}}}
spec:
  hosts: [s{n}]
  http:
    - match: [{{headers: {{user-preference: {{prefix: "{n}"}}}}}}]
      route: [{{destination: {{host: s{n}, subset: v2}}}}]
    - route:
        - destination: {{host: s{n}, subset: v1}}
          weight: 90
        - destination: {{host: s{n}, subset: v2}}
          weight: 10
      retries: {{attempts: 3, perTryTimeout: 2s, retryOn: 5xx}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: s{n}}}
spec:
  host: s{n}
  trafficPolicy: {{outlierDetection: {{consecutive5xxErrors: 3, maxEjectionPercent: 100}}}}
  subsets:
    - {{name: v1, labels: {{version: v1}}}}
    - {{name: v2, labels: {{version: v2}}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: s{n}}}
spec:
  selector: {{matchLabels: {{app: s{n}}}}}
  rules: [{{from: [{{source: {{principals: [cluster.local/ns/default/sa/s{n}]}}}}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: s{n}}}
spec: {{selector: {{app: s{n}}}, ports: [{{name: http, port: 8080}}]}}
"""


def measure(resources: int = 1000) -> dict[str, float]:
    """Return CPU seconds for ``resources`` objects: ``load``, ``validate``, ``analyze``."""
    from mesh.istio import era, load_text, validate
    from mesh.istio.analyze import analyze

    text = "---\n".join(_SET.format(n=number) for number in range(resources // 4))
    release = era("istio-current")
    start = time.process_time()
    loaded = load_text(text, era=release)
    read = time.process_time()
    validate(loaded.resources, release)
    valid = time.process_time()
    analyze(loaded.resources, release)
    done = time.process_time()
    return {"load": read - start, "validate": valid - read, "analyze": done - valid}
