variable "name" {
  description = "Name of the cluster."
  type        = string
  default     = "mesh-lab"
}

variable "istio_version" {
  description = "Release of Istio's Helm charts."
  type        = string
  default     = "1.28.0"

  validation {
    condition     = can(regex("^\\d+\\.\\d+\\.\\d+$", var.istio_version))
    error_message = "Write a release like 1.28.0."
  }
}

variable "http_port" {
  description = "Port of this machine that leads to the ingress gateway."
  type        = number
  default     = 8080
}

variable "charts" {
  description = "Helm repository of Istio's charts (istio.io, Install with Helm, names it)."
  type        = string
}
