"""VirtualServices whose fields stand at a wrong place, and the same put right."""

from __future__ import annotations

MISPLACED = {
    "http below hosts": (
        """
        spec:
          hosts:
            - a   # the service
            http:
              - route:
                  - destination:
                      host: a
        """,
        """
        spec:
          hosts:
            - a   # the service
          http:
            - route:
                - destination:
                    host: a
        """,
    ),
    "mirror below the items of route": (
        """
        spec:
          hosts: [a]
          http:
            - route:
                - destination:
                    host: a
                mirror:
                  host: b
              # how long
              timeout: 1s
        """,
        """
        spec:
          hosts: [a]
          http:
            - route:
                - destination:
                    host: a
              mirror:
                host: b
              # how long
              timeout: 1s
        """,
    ),
    "weight in destination": (
        """
        spec:
          hosts: [a]
          http:
          - route:
            - destination:
                host: a
                weight: 90 # most
                subset: v1
            - destination: {host: a, subset: v2}
              weight: 10
        """,
        """
        spec:
          hosts: [a]
          http:
          - route:
            - destination:
                host: a
                subset: v1
              weight: 90 # most
            - destination: {host: a, subset: v2}
              weight: 10
        """,
    ),
    "the misplaced key is the first of its item": (
        """
        spec:
          hosts: [a]
          http:
          - route:
            - timeout: 1s
              destination:
                host: a
        """,
        """
        spec:
          hosts: [a]
          http:
          - route:
            - destination:
                host: a
            timeout: 1s
        """,
    ),
    "retries in a route item": (
        """
        spec:
          hosts: [a]
          http:
            - route:
                - destination:
                    host: a
                  retries:
                    attempts: 3

                    perTryTimeout: 2s
        """,
        """
        spec:
          hosts: [a]
          http:
            - route:
                - destination:
                    host: a
              retries:
                attempts: 3

                perTryTimeout: 2s
        """,
    ),
    "retries in the spec go to every rule": (
        """
        spec:
          hosts: [a]
          http:
            - match: [{uri: {prefix: /x}}]
              route: [{destination: {host: a}}]
            - route: [{destination: {host: a}}]
          retries:
            attempts: 1
        """,
        """
        spec:
          hosts: [a]
          http:
            - match: [{uri: {prefix: /x}}]
              route: [{destination: {host: a}}]
              retries:
                attempts: 1
            - route: [{destination: {host: a}}]
              retries:
                attempts: 1
        """,
    ),
    "port beside the items of match, route beside http": (
        """
        spec:
          hosts: [a]
          gateways: [mesh]
          http:
            - match:
                - gateways:
                    - mesh
                port: 80
          route:
            - destination:
                host: a
        """,
        """
        spec:
          hosts: [a]
          gateways: [mesh]
          http:
            - match:
                - gateways:
                    - mesh
                  port: 80
              route:
                - destination:
                    host: a
        """,
    ),
    "uri without match": (
        """
        spec:
          hosts: [a]
          http:
            - uri:
                prefix: /x
              route:
                - destination:
                    host: a
        """,
        """
        spec:
          hosts: [a]
          http:
            - match:
                - uri:
                    prefix: /x
              route:
                - destination:
                    host: a
        """,
    ),
    "host without destination": (
        """
        spec:
          hosts: [a]
          http:
            - route:
                - host: a
        """,
        """
        spec:
          hosts: [a]
          http:
            - route:
                - destination:
                    host: a
        """,
    ),
    "http without a dash": (
        """
        spec:
          hosts: [a]
          http:
            route:
              - destination:
                  host: a
            timeout: 1s
        """,
        """
        spec:
          hosts: [a]
          http:
            - route:
                - destination:
                    host: a
              timeout: 1s
        """,
    ),
    "a key in braces that belongs elsewhere": (
        """
        spec:
          hosts: [a]
          http:
            - route:
                - destination: {host: a, weight: 90, subset: "v,1"}   # most
                - {destination: {host: a, subset: v2, weight: 10}}
        """,
        """
        spec:
          hosts: [a]
          http:
            - route:
                - destination:  # most
                    host: a
                    subset: "v,1"
                  weight: 90
                - destination:
                    host: a
                    subset: v2
                  weight: 10
        """,
    ),
    "a key that lines up with nothing": (
        """
        spec:
          hosts: [a]
           http:
            - route:
                - destination:
                    host: a
        """,
        None,
    ),
    "fields that slid out of the spec": (
        """
        spec:
        hosts:
          - a
        http:
          - route:
              - destination:
                  host: a
        """,
        """
        spec:
          hosts:
            - a
          http:
            - route:
                - destination:
                    host: a
        """,
    ),
}
