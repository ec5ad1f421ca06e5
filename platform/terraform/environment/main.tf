# An environment: what its cluster needs, and the cluster. What stands in the cluster is Flux's.

provider "aws" {
  region              = var.region
  allowed_account_ids = var.account == null ? null : [var.account]

  default_tags {
    tags = local.tags
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  tags      = merge(var.tags, { "tenantry:environment" = var.environment })

  # Made by the workstation's stack, which lets Terraform make no role that goes without it.
  boundary = var.workstation == null ? null : "arn:${local.partition}:iam::${local.account}:policy/${var.environment}-tenantry-boundary"

  enabled = { for name, addon in var.addons : name => addon.version if addon.enabled }
}

module "network" {
  source = "../modules/network"

  name                = var.environment
  cluster_name        = var.environment
  cidr                = var.network.cidr
  zones               = var.network.zones
  nat                 = var.network.nat
  interface_endpoints = var.network.interface_endpoints
  flow_log_days       = var.network.flow_log_days
  peers               = local.peers

  permissions_boundary = local.boundary
}

module "cluster" {
  source = "../modules/cluster"

  environment              = var.environment
  kubernetes               = var.kubernetes
  system_nodes             = var.system_nodes
  addons                   = { for name, version in local.enabled : name => version if local.compatibility.addons[name].installed_by == "eks" }
  control_plane_subnet_ids = module.network.subnet_ids.endpoint
  node_subnet_ids          = module.network.subnet_ids.private
  client_cidrs             = module.network.service_client_cidrs
  node_role_arns           = { karpenter = module.identity.roles["karpenter-node"] }

  # People become the role; the workstation is one itself, since it installs Flux.
  admin_role_arns = merge(
    { for role in ["cluster-admin"] : role => module.identity.roles[role] if length(var.kubernetes.admins) > 0 },
    { for role in ["workstation"] : role => "arn:${local.partition}:iam::${local.account}:role/${var.environment}-${role}" if var.workstation != null },
  )

  permissions_boundary = local.boundary
}

module "identity" {
  source = "../modules/identity"

  environment            = var.environment
  cluster_name           = module.cluster.name
  addons                 = keys(local.enabled)
  admins                 = var.kubernetes.admins
  control_queue_arns     = { for kind, queue in aws_sqs_queue.control : kind => queue.arn }
  bus_arn                = aws_cloudwatch_event_bus.outcomes.arn
  exports_bucket_arn     = aws_s3_bucket.exports.arn
  state_copies           = { bucket_arn = aws_s3_bucket.state_copies.arn, key_arn = aws_kms_key.state_copies.arn }
  interruption_queue_arn = aws_sqs_queue.interruptions.arn
  vpc_id                 = module.network.vpc_id
  zone_id                = var.domain.zone_id
  registry               = var.registry
  tags                   = var.tags

  permissions_boundary = local.boundary
}
