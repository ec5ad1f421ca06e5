# Amazon's add-ons, each of a version that the variables file pins. What is not a DaemonSet tolerates
# the managed nodes, which are the only ones until Karpenter runs.

locals {
  tolerations = [{ key = "CriticalAddonsOnly", operator = "Exists" }]
  spread = [{
    maxSkew           = 1
    topologyKey       = "topology.kubernetes.io/zone"
    whenUnsatisfiable = "ScheduleAnyway"
  }]

  addon_values = {
    "eks-pod-identity-agent" = {}
    "kube-proxy"             = {}
    # Strings, as this add-on's schema has them.
    "vpc-cni" = {
      enableNetworkPolicy = "true"
      env = {
        ENABLE_PREFIX_DELEGATION = "true"
        WARM_PREFIX_TARGET       = "1"
        # So that interfaces which a node left behind are found when the environment is destroyed.
        ADDITIONAL_ENI_TAGS = jsonencode({ "tenantry:environment" = var.environment })
      }
    }
    "coredns" = {
      tolerations = local.tolerations
      topologySpreadConstraints = [
        for one in local.spread : merge(one, { labelSelector = { matchLabels = { "k8s-app" = "kube-dns" } } })
      ]
    }
    "aws-ebs-csi-driver" = {
      controller = { tolerations = local.tolerations }
    }
    "metrics-server" = {
      tolerations = local.tolerations
    }
  }

  # What has values, by literal names: a condition of `addons` asks for them, and of no other variable.
  addon_names = ["aws-ebs-csi-driver", "coredns", "eks-pod-identity-agent", "kube-proxy", "metrics-server", "vpc-cni"]

  before_nodes = ["eks-pod-identity-agent", "kube-proxy", "vpc-cni"]
}

# DaemonSets, with which a node becomes ready.
resource "aws_eks_addon" "before_nodes" {
  for_each = toset(local.before_nodes)

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  addon_version               = var.addons[each.key]
  configuration_values        = local.addon_values[each.key] == {} ? null : jsonencode(local.addon_values[each.key])
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"
}

# What needs nodes to become active.
resource "aws_eks_addon" "on_nodes" {
  for_each = setsubtract(keys(local.addon_values), local.before_nodes)

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  addon_version               = var.addons[each.key]
  configuration_values        = jsonencode(local.addon_values[each.key])
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  depends_on = [
    aws_eks_node_group.system,
    aws_eks_pod_identity_association.ebs_csi,
    aws_iam_role_policy_attachment.ebs_csi,
  ]
}

resource "aws_eks_pod_identity_association" "vpc_cni" {
  cluster_name    = aws_eks_cluster.this.name
  namespace       = "kube-system"
  service_account = "aws-node"
  role_arn        = aws_iam_role.vpc_cni.arn
}

resource "aws_eks_pod_identity_association" "ebs_csi" {
  cluster_name    = aws_eks_cluster.this.name
  namespace       = "kube-system"
  service_account = "ebs-csi-controller-sa"
  role_arn        = aws_iam_role.ebs_csi.arn
}
