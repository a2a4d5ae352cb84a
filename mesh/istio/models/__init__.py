"""The resources of a mesh as typed models, one file a kind; the fields are Istio's own."""
