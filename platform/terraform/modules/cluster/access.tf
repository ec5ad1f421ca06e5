# Who may do what in the cluster, by name: there is no aws-auth, and its maker has no rights.

locals {
  policies = "arn:${local.partition}:eks::aws:cluster-access-policy"

  # Viewers see no Secret. Groups are for the fleet's RBAC, which knows Flux's and Argo's kinds.
  people = merge(
    { for arn in var.kubernetes.viewers : arn => { arn = arn, policy = "AmazonEKSViewPolicy", group = "tenantry:viewers" } },
    # Whoever runs tenants: sees all but Secrets, and starts workflows.
    { for arn in var.kubernetes.operators : arn => { arn = arn, policy = "AmazonEKSViewPolicy", group = "tenantry:operators" } },
    { for name, arn in var.admin_role_arns : name => { arn = arn, policy = "AmazonEKSClusterAdminPolicy", group = "tenantry:admins" } },
  )
}

resource "aws_eks_access_entry" "people" {
  for_each = local.people

  cluster_name      = aws_eks_cluster.this.name
  principal_arn     = each.value.arn
  kubernetes_groups = [each.value.group]
  type              = "STANDARD"
}

resource "aws_eks_access_policy_association" "people" {
  for_each = local.people

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = aws_eks_access_entry.people[each.key].principal_arn
  policy_arn    = "${local.policies}/${each.value.policy}"

  access_scope {
    type = "cluster"
  }
}

# EKS makes the managed group's own entry itself.
resource "aws_eks_access_entry" "nodes" {
  for_each = var.node_role_arns

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.value
  type          = "EC2_LINUX"
}
