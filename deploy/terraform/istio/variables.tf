variable "istio_version" {
  description = "Release of Istio's Helm charts."
  type        = string
}

variable "charts" {
  description = "Helm repository of Istio's charts (istio.io, Install with Helm, names it)."
  type        = string
}

variable "service_type" {
  description = "Type of the ingress gateway's Service: LoadBalancer in a cloud, NodePort on a desk."
  type        = string
  default     = "LoadBalancer"
}

variable "node_port" {
  description = "The port of the node for HTTP, with NodePort."
  type        = number
  default     = 0
}
