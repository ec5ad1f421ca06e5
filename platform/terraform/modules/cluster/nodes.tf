# The one managed node group. What makes all other nodes runs here, and what that depends on.

locals {
  is_arm = can(regex("^[a-z]+[0-9]+g[a-z]*[.]", var.system_nodes.instance_types[0]))
  ami_types = {
    bottlerocket = local.is_arm ? "BOTTLEROCKET_ARM_64" : "BOTTLEROCKET_x86_64"
    al2023       = local.is_arm ? "AL2023_ARM_64_STANDARD" : "AL2023_x86_64_STANDARD"
  }
  # Bottlerocket keeps itself on the first disk, and images and logs on the second.
  disks = {
    bottlerocket = { "/dev/xvda" = 4, "/dev/xvdb" = var.system_nodes.volume_gib }
    al2023       = { "/dev/xvda" = var.system_nodes.volume_gib }
  }
}

resource "aws_launch_template" "system" {
  name                   = "${var.environment}-system"
  description            = "Nodes of the managed group of ${var.environment}."
  update_default_version = true

  # No pod gets the node's credentials: an answer lives for one hop, which is the node itself.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "disabled"
  }

  dynamic "block_device_mappings" {
    for_each = local.disks[var.system_nodes.image]
    content {
      device_name = block_device_mappings.key
      ebs {
        volume_type           = "gp3"
        volume_size           = block_device_mappings.value
        encrypted             = "true"
        delete_on_termination = "true"
      }
    }
  }

  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "${var.environment}-system", "tenantry:environment" = var.environment }
  }
  tag_specifications {
    resource_type = "volume"
    tags          = { Name = "${var.environment}-system", "tenantry:environment" = var.environment }
  }
}

resource "aws_eks_node_group" "system" {
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = "system"
  node_role_arn   = aws_iam_role.system_node.arn
  subnet_ids      = var.node_subnet_ids
  version         = var.kubernetes.version
  ami_type        = local.ami_types[var.system_nodes.image]
  capacity_type   = "ON_DEMAND"
  instance_types  = var.system_nodes.instance_types
  labels          = { "tenantry.dev/node-pool" = "system" }

  launch_template {
    id      = aws_launch_template.system.id
    version = aws_launch_template.system.latest_version
  }

  scaling_config {
    min_size     = var.system_nodes.minimum
    desired_size = var.system_nodes.minimum
    max_size     = var.system_nodes.maximum
  }

  taint {
    key    = "CriticalAddonsOnly"
    value  = "true"
    effect = "NO_SCHEDULE"
  }

  update_config {
    max_unavailable = 1
  }

  # A node is ready when it has its network, and that its credentials.
  depends_on = [
    aws_eks_addon.before_nodes,
    aws_eks_pod_identity_association.vpc_cni,
    aws_iam_role_policy_attachment.system_node,
    aws_iam_role_policy_attachment.vpc_cni,
  ]
}
