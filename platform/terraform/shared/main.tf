# What an account has once, whatever number of environments it has: where the code lies, what builds
# it, where releases lie, and what they are signed with.

locals {
  name = "shared"
}

module "network" {
  source = "../modules/network"

  name                = local.name
  cidr                = var.network.cidr
  zones               = var.network.zones
  nat                 = var.network.nat
  interface_endpoints = var.network.interface_endpoints
  flow_log_days       = var.network.flow_log_days
}

module "registry" {
  source = "../modules/registry"

  prefix             = var.registry.prefix
  reader_accounts    = var.registry.reader_accounts
  development_builds = var.registry.development_builds
}

module "gitea" {
  source = "../modules/gitea"

  name = local.name
  network = {
    vpc_id                   = module.network.vpc_id
    server_subnet_id         = module.network.subnet_ids.private[0]
    server_zone              = var.network.zones[0]
    runner_subnet_ids        = module.network.subnet_ids.private
    load_balancer_subnet_ids = module.network.subnet_ids.endpoint
  }
  client_cidrs = var.clients
  address      = var.address
  gitea        = var.gitea
  snapshots    = var.snapshots
  git          = var.git
  runners      = var.runners
  protected    = var.protected
  publishes = {
    repository_arns = values(module.registry.repository_arns)
    signing_key_arn = aws_kms_key.signing.arn
  }
}
