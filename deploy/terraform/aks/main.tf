provider "azurerm" {
  subscription_id = var.subscription_id
  features {}
}

resource "azurerm_resource_group" "lab" {
  name     = "${var.name}-rg"
  location = var.location
}

resource "azurerm_kubernetes_cluster" "lab" {
  name                = var.name
  location            = azurerm_resource_group.lab.location
  resource_group_name = azurerm_resource_group.lab.name
  dns_prefix          = var.name

  default_node_pool {
    name       = "default"
    node_count = var.nodes
    vm_size    = var.vm_size
  }

  identity {
    type = "SystemAssigned"
  }
}

resource "random_string" "registry" {
  length  = 6
  upper   = false
  special = false
}

resource "azurerm_container_registry" "lab" {
  name                = "${var.name}${random_string.registry.result}"
  location            = azurerm_resource_group.lab.location
  resource_group_name = azurerm_resource_group.lab.name
  sku                 = "Basic"
}

# The nodes may pull from the registry, and nobody needs a password for it.
resource "azurerm_role_assignment" "pull" {
  scope                            = azurerm_container_registry.lab.id
  role_definition_name             = "AcrPull"
  principal_id                     = azurerm_kubernetes_cluster.lab.kubelet_identity[0].object_id
  skip_service_principal_aad_check = true
}

provider "helm" {
  kubernetes {
    host                   = azurerm_kubernetes_cluster.lab.kube_config[0].host
    client_certificate     = base64decode(azurerm_kubernetes_cluster.lab.kube_config[0].client_certificate)
    client_key             = base64decode(azurerm_kubernetes_cluster.lab.kube_config[0].client_key)
    cluster_ca_certificate = base64decode(azurerm_kubernetes_cluster.lab.kube_config[0].cluster_ca_certificate)
  }
}

module "istio" {
  source        = "../istio"
  istio_version = var.istio_version
  charts        = var.charts
  service_type  = "LoadBalancer"
}
