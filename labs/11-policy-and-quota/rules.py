"""The grader's own policies in lab 11: one that refuses nobody, and those that measure the predictions."""

from __future__ import annotations

NOTHING = """\
apiVersion: config.istio.io/v1alpha2
kind: denier
metadata: {name: nobody, namespace: tutorial}
spec: {status: {code: 7}}
---
apiVersion: config.istio.io/v1alpha2
kind: checknothing
metadata: {name: nothing, namespace: tutorial}
spec: {}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: nobody, namespace: tutorial}
spec:
  match: request.method == "NONE"
  actions: [{handler: nobody.denier, instances: [nothing.checknothing]}]
"""
"""Mixer is asked, and refuses nothing: from here to another policy no listener changes."""

QUOTA = """\
apiVersion: config.istio.io/v1alpha2
kind: memquota
metadata: {{name: limits, namespace: tutorial}}
spec: {{quotas: [{{name: requestcount.quota.tutorial, maxAmount: {budget}, validDuration: 3600s}}]}}
---
apiVersion: config.istio.io/v1alpha2
kind: quota
metadata: {{name: requestcount, namespace: tutorial}}
spec: {{dimensions: {{source: 'source.labels["app"]'}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {{name: quota, namespace: tutorial}}
spec: {{actions: [{{handler: limits.memquota, instances: [requestcount.quota]}}]}}
---
apiVersion: config.istio.io/v1alpha2
kind: QuotaSpec
metadata: {{name: count, namespace: tutorial}}
spec: {{rules: [{{quotas: [{{charge: {cost}, quota: requestcount}}]}}]}}
"""
BINDING = """\
---
apiVersion: config.istio.io/v1alpha2
kind: QuotaSpecBinding
metadata: {name: count, namespace: tutorial}
spec: {quotaSpecs: [{name: count, namespace: tutorial}], services: [{name: recommendation, namespace: tutorial}]}
"""
LIST = """\
apiVersion: config.istio.io/v1alpha2
kind: listchecker
metadata: {name: callers, namespace: tutorial}
spec: {overrides: [preference], blacklist: false}
---
apiVersion: config.istio.io/v1alpha2
kind: listentry
metadata: {name: app, namespace: tutorial}
spec: {value: 'source.labels["app"]'}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: callers, namespace: tutorial}
spec:
  match: destination.labels["app"] == "recommendation"
  actions: [{handler: callers.listchecker, instances: [app.listentry]}]
"""
BUCKET = """\
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: throttle, namespace: tutorial}}
spec:
  workloadSelector: {{labels: {{app: recommendation}}}}
  configPatches:
    - applyTo: HTTP_FILTER
      match:
        context: SIDECAR_INBOUND
        listener: {{filterChain: {{filter: {{name: envoy.filters.network.http_connection_manager}}}}}}
      patch:
        operation: INSERT_BEFORE
        value:
          name: envoy.filters.http.local_ratelimit
          typed_config:
            "@type": type.googleapis.com/udpa.type.v1.TypedStruct
            type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
            value:
              stat_prefix: http_local_rate_limiter
              token_bucket: {{max_tokens: {burst}, tokens_per_fill: 1, fill_interval: 3600s}}
              filter_enabled: {{default_value: {{numerator: 100, denominator: HUNDRED}}}}
              filter_enforced: {{default_value: {{numerator: 100, denominator: HUNDRED}}}}
"""
