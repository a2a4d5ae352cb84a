"""What the tests in containers apply, and the program of an application that means no good."""

DISABLE = """
apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata: {name: default, namespace: tutorial}
spec: {mtls: {mode: DISABLE}}
"""
ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: pay, namespace: tutorial}
spec:
  hosts: [pay.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: corp, namespace: tutorial}
spec:
  hosts: ["*.corp.example"]
  addresses: [240.240.255.1]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
  endpoints: [{address: recommendation.tutorial.svc.cluster.local, ports: {http: 8080}}]
"""
EGRESS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cnn, namespace: tutorial}
spec:
  hosts: [edition.cnn.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: cnn, namespace: tutorial}
spec:
  selector: {istio: egressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [edition.cnn.com]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cnn, namespace: tutorial}
spec:
  hosts: [edition.cnn.com]
  gateways: [mesh, cnn]
  http:
  - match: [{gateways: [mesh]}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, port: {number: 80}}}]
  - route: [{destination: {host: edition.cnn.com, port: {number: 80}}}]
"""
PASSTHROUGH = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: recommendation, namespace: tutorial}
spec: {host: recommendation, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}
"""
NOT_FROM = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: recommendation, namespace: tutorial}}
spec:
  selector: {{matchLabels: {{app: recommendation}}}}
  action: DENY
  rules: [{{from: [{{source: {{ipBlocks: [{address}]}}}}]}}]
"""
HOSTILE = """
import os, socket, subprocess
found = {}
def attempt(name, action):
    try:
        action()
        found[name] = "done"
    except BaseException as error:
        found[name] = type(error).__name__
def connect(host, port):
    socket.create_connection((host, port), timeout=3).close()
def udp(host):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.sendto(b"x", (host, 5353))
attempt("raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt("packet socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3))
attempt("become the sidecar", lambda: os.setuid(1337))
attempt("become root", lambda: os.setuid(0))
attempt("rules", lambda: subprocess.run(["nft", "delete", "table", "ip", "mesh"], check=True, capture_output=True))
attempt("mount", lambda: subprocess.run(["mount", "-t", "tmpfs", "x", "/mnt"], check=True, capture_output=True))
attempt("write to the root", lambda: open("/kit/x", "w"))
attempt("control plane", lambda: os.stat("%(sockets)s/1"))
attempt("udp to this machine", lambda: udp("%(gateway)s"))
attempt("udp outside", lambda: udp("192.0.2.1"))
import json
print(json.dumps(found))
"""
