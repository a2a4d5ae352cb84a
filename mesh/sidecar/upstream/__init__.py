"""What belongs to a cluster: endpoints, balancers, pools, retries, circuit breakers, outlier detection."""
