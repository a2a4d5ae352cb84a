output "kubeconfig" {
  description = "Write it to a file and point KUBECONFIG there; it is a secret."
  value       = azurerm_kubernetes_cluster.lab.kube_config_raw
  sensitive   = true
}

output "registry" {
  description = "Where to push the image, and what overlays/aks/kustomization.yaml must name."
  value       = azurerm_container_registry.lab.login_server
}

output "credentials" {
  description = "The command that makes kubectl speak to this cluster."
  value       = "az aks get-credentials --resource-group ${azurerm_resource_group.lab.name} --name ${azurerm_kubernetes_cluster.lab.name}"
}

output "gateway" {
  description = "The Service whose external IP is the way in."
  value       = module.istio.gateway
}
