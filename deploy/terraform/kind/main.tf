resource "kind_cluster" "lab" {
  name           = var.name
  wait_for_ready = true

  kind_config {
    kind        = "Cluster"
    api_version = "kind.x-k8s.io/v1alpha4"

    node {
      role = "control-plane"
      extra_port_mappings {
        container_port = 30080
        host_port      = var.http_port
        listen_address = "127.0.0.1"
      }
    }
  }
}

provider "helm" {
  kubernetes {
    host                   = kind_cluster.lab.endpoint
    client_certificate     = kind_cluster.lab.client_certificate
    client_key             = kind_cluster.lab.client_key
    cluster_ca_certificate = kind_cluster.lab.cluster_ca_certificate
  }
}

module "istio" {
  source        = "../istio"
  istio_version = var.istio_version
  charts        = var.charts
  service_type  = "NodePort"
  node_port     = 30080
}
