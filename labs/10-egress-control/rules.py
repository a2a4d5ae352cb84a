"""The grader's own rules in lab 10: what measures the predictions."""

from __future__ import annotations

REGISTRY = """\
apiVersion: networking.istio.io/v1alpha3
kind: Sidecar
metadata: {name: default, namespace: istio-system}
spec:
  egress: [{hosts: ["*/*"]}]
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
---
apiVersion: networking.istio.io/v1alpha3
kind: ServiceEntry
metadata: {name: news, namespace: tutorial}
spec:
  hosts: [edition.cnn.com]
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: https, protocol: HTTPS}]
  resolution: DNS
---
"""
RULE = """\
apiVersion: networking.istio.io/v1alpha3
kind: Gateway
metadata: {{name: egress, namespace: tutorial}}
spec:
  selector: {{istio: egressgateway}}
  servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: [edition.cnn.com]}}]
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {{name: news, namespace: tutorial}}
spec:
  hosts: [edition.cnn.com]
  gateways: [mesh, egress]
  http:
    - match: [{{gateways: [mesh], port: 80}}]
      route: [{{destination: {{host: istio-egressgateway.istio-system.svc.cluster.local, port: {{number: 80}}}}}}]
    - match: [{{gateways: [egress], port: 80, uri: {{regex: "/health|{page}"}}}}]
      route: [{{destination: {{host: edition.cnn.com, subset: encrypted, port: {{number: 443}}}}}}]
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {{name: news, namespace: tutorial}}
spec:
  host: edition.cnn.com
  subsets: [{{name: encrypted, trafficPolicy: {{tls: {{mode: SIMPLE}}}}}}]
"""
UNVERIFIED = """\
apiVersion: networking.istio.io/v1alpha3
kind: ServiceEntry
metadata: {{name: maps, namespace: tutorial}}
spec:
  hosts: [{maps}]
  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: 443}}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {{name: maps, namespace: tutorial}}
spec:
  host: {maps}
  trafficPolicy: {{tls: {{mode: SIMPLE, sni: httpbin.org}}}}
"""
