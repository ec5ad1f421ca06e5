# The cluster: its control plane, the key of its secrets, its logs, and who reaches it.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  is_public = length(var.kubernetes.public_access_cidrs) > 0
}

resource "aws_kms_key" "secrets" {
  description             = "Secrets of the cluster ${var.environment}."
  enable_key_rotation     = true
  deletion_window_in_days = 30

  # The account decides by IAM who uses and who administers it, EKS by the cluster's role.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ByIam"
      Effect    = "Allow"
      Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
      Action    = "kms:*"
      Resource  = "*"
    }]
  })
}

resource "aws_kms_alias" "secrets" {
  name          = "alias/${var.environment}-tenantry-cluster"
  target_key_id = aws_kms_key.secrets.key_id
}

# EKS makes the group itself if it is not there, keeps it for ever, and leaves it behind.
resource "aws_cloudwatch_log_group" "control_plane" {
  name              = "/aws/eks/${var.environment}/cluster"
  retention_in_days = var.kubernetes.log_days
}

resource "aws_eks_cluster" "this" {
  name     = var.environment
  version  = var.kubernetes.version
  role_arn = aws_iam_role.control_plane.arn

  enabled_cluster_log_types = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
  # Add-ons are ours, pinned: EKS's own first ones would be of whatever version it likes.
  bootstrap_self_managed_addons = false

  access_config {
    authentication_mode = "API"
    # Who makes it gets no rights by that: they are given by name.
    bootstrap_cluster_creator_admin_permissions = false
  }

  vpc_config {
    subnet_ids              = var.control_plane_subnet_ids
    endpoint_private_access = true
    endpoint_public_access  = local.is_public
    public_access_cidrs     = local.is_public ? var.kubernetes.public_access_cidrs : null
  }

  kubernetes_network_config {
    ip_family         = "ipv4"
    service_ipv4_cidr = var.kubernetes.service_cidr
  }

  encryption_config {
    resources = ["secrets"]
    provider {
      key_arn = aws_kms_key.secrets.arn
    }
  }

  # Extended support costs six times as much; at its end standard support upgrades by itself.
  upgrade_policy {
    support_type = "STANDARD"
  }

  depends_on = [
    aws_cloudwatch_log_group.control_plane,
    aws_iam_role_policy_attachment.control_plane,
    aws_iam_role_policy.control_plane,
  ]
}

# EKS makes this group for control plane and nodes. Karpenter finds it by its tag.
resource "aws_ec2_tag" "discovery" {
  resource_id = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
  key         = "karpenter.sh/discovery"
  value       = var.environment
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = toset(var.client_cidrs)

  security_group_id = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
  description       = "The API server, for a peered VPC"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
