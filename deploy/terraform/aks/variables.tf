variable "name" {
  description = "Name of everything that is made, and the beginning of the registry's."
  type        = string
  default     = "meshlab"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{2,20}$", var.name))
    error_message = "Write 3 to 21 small letters and digits, a letter first."
  }
}

variable "subscription_id" {
  description = "The Azure subscription that pays."
  type        = string
}

variable "location" {
  description = "Where the cluster stands."
  type        = string
  default     = "westeurope"
}

variable "nodes" {
  description = "How many nodes; a lab fits on one, a class of 20 on three."
  type        = number
  default     = 2

  validation {
    condition     = var.nodes >= 1 && var.nodes <= 10
    error_message = "1 to 10 nodes, so that a typing error does not cost a fortune."
  }
}

variable "vm_size" {
  description = "Size of a node; it decides most of the price."
  type        = string
  default     = "Standard_D2s_v5"
}

variable "istio_version" {
  description = "Release of Istio's Helm charts."
  type        = string
  default     = "1.28.0"
}

variable "charts" {
  description = "Helm repository of Istio's charts (istio.io, Install with Helm, names it)."
  type        = string
}
