"""Specs whose words are wrong, and the same put right: of VirtualServices and of DestinationRules."""

from __future__ import annotations

VIRTUAL_SERVICE = {
    "host for hosts": (
        """
        spec:
          host: a
          http:
            - route: [{destination: {host: a}}]
        """,
        """
        spec:
          hosts:
            - a
          http:
            - route: [{destination: {host: a}}]
        """,
    ),
    "capitals of a field": (
        """
        spec:
          hosts: [a]
          http:
            - retries:
                attempts: 2
                per_try_timout: 2s
              route: [{destination: {host: a}}]
        """,
        """
        spec:
          hosts: [a]
          http:
            - retries:
                attempts: 2
                perTryTimeout: 2s
              route: [{destination: {host: a}}]
        """,
    ),
    "percent": (
        """
        spec:
          hosts: [a]
          http:
            - fault:
                delay:
                  fixedDelay: 7s
                  percent: 50
              route: [{destination: {host: a}}]
              mirror: {host: b}
              mirrorPercent: 10
        """,
        """
        spec:
          hosts: [a]
          http:
            - fault:
                delay:
                  fixedDelay: 7s
                  percentage:
                    value: 50
              route: [{destination: {host: a}}]
              mirror: {host: b}
              mirrorPercentage:
                value: 10
        """,
    ),
    "a tab and curly quotes": (
        """
        spec:
        \thosts: [a]
          http:
            - route:
                - destination:
                    host: \u201ca\u201d
        """,
        """
        spec:
          hosts: [a]
          http:
            - route:
                - destination:
                    host: "a"
        """,
    ),
}
DESTINATION_RULE = {
    "hosts for host": (
        """
        spec:
          hosts:
          - a # this one
          trafficPolicy:
            loadBalancer:
              simple: random
        """,
        """
        spec:
          host: a # this one
          trafficPolicy:
            loadBalancer:
              simple: RANDOM
        """,
    ),
    "outlierDetection without trafficPolicy": (
        """
        spec:
          host: a
          outlierDetection:
            consecutiveErrors: 3
        """,
        """
        spec:
          host: a
          trafficPolicy:
            outlierDetection:
              consecutiveGatewayErrors: 3
        """,
    ),
    "placeholder": (
        """
        spec:
          host: "*.{tutorial}.svc.cluster.local"
        """,
        """
        spec:
          host: "*.tutorial.svc.cluster.local"
        """,
    ),
}
