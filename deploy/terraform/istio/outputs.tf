output "gateway" {
  description = "Name of the ingress gateway's Service in istio-system."
  value       = helm_release.ingress.name
}
