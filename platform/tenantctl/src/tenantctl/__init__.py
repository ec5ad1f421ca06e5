"""The control plane: tenants as files in Git, placements in the registry, verbs over both."""
