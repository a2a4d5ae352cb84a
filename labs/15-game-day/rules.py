"""The rules that lab 15's storm brings along: another team's, and the grader's own."""

from __future__ import annotations

SECOND_ADMIN = """\
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: maintenance, namespace: ops}
spec:
  hosts: [recommendation.tutorial.svc.cluster.local]
  http:
    - fault: {abort: {httpStatus: 503, percentage: {value: 100}}}
      route: [{destination: {host: recommendation.tutorial.svc.cluster.local}}]
"""
PLAIN_ROUTE = """\
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: grader-recommendation, namespace: tutorial}
spec:
  hosts: [recommendation]
  http:
    - route: [{destination: {host: recommendation}}]
      retries: {attempts: 0}
"""
ALWAYS_503 = """\
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {{name: grader-recommendation, namespace: tutorial}}
spec:
  hosts: [recommendation]
  http:
    - route: [{{destination: {{host: recommendation}}}}]
      headers: {{request: {{set: {{x-script: '[{{"status": 503}}]'}}}}}}
      retries: {{attempts: {again}, retryOn: 5xx}}
"""
PERMISSIVE = """\
apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata: {name: default, namespace: tutorial}
spec: {mtls: {mode: PERMISSIVE}}
"""
