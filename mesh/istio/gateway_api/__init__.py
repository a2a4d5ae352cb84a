"""Gateway API -> Istio: Gateways and HTTPRoutes as the Gateways and VirtualServices that equal them.

Kubernetes' Gateway API says with two kinds what Istio says with two others.  istiod has one
translation to Envoy's language only, so it first writes HTTPRoutes as VirtualServices, in memory;
so does the kit, and everything after that is the same road.  One file for each step: listeners,
parentRefs, rules, matches, filters, backends, and which rule wins.  What a VirtualService cannot
say (a prefix that ends at a slash, 500 for a backend that is not there) is in
``mesh.pilot.translate.gateway_semantics``.
Source: istio/istio ``pilot/pkg/config/kube/gateway``; kubernetes-sigs/gateway-api ``apis/v1``.
Shown by ``meshctl proxy-config route POD`` and ``meshctl describe service NAME``.
"""

from mesh.istio.gateway_api.convert import Converted, ConvertedRoute, convert
from mesh.istio.gateway_api.objects import GROUP, Object

__all__ = ["GROUP", "Converted", "ConvertedRoute", "Object", "convert"]
