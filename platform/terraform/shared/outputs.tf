output "gitea" {
  description = "Where Gitea is, its load balancer, its machine and volume, and the names of its secrets."
  value = {
    url           = module.gitea.url
    load_balancer = module.gitea.load_balancer
    server        = module.gitea.server
    secrets       = module.gitea.secrets
  }
}

output "registry" {
  description = "Where releases are pushed to, and what environments' files say as registry."
  value = {
    account      = data.aws_caller_identity.current.account_id
    region       = var.region
    prefix       = var.registry.prefix
    address      = module.registry.address
    repositories = module.registry.repository_urls
  }
}

output "signing_key" {
  description = "The key that releases are signed with, as cosign names it."
  value       = { arn = aws_kms_key.signing.arn, alias = aws_kms_alias.signing.name, cosign = "awskms:///${aws_kms_alias.signing.name}" }
}

output "network" {
  description = "The VPC that environments peer with."
  value       = { vpc_id = module.network.vpc_id, cidr = module.network.cidr, nat_public_ips = module.network.nat_public_ips }
}

output "roles" {
  description = "ARNs of the machines' roles."
  value       = module.gitea.roles
}
