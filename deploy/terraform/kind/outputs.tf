output "kubeconfig" {
  description = "Path of the file that kubectl reads."
  value       = kind_cluster.lab.kubeconfig_path
}

output "ingress" {
  description = "Where the ingress gateway is reached."
  value       = "http://127.0.0.1:${var.http_port}"
}
