"""HTTP features, one file each, in Envoy's order (``default_filters``)."""
