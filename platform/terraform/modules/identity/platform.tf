# The roles of what runs in the cluster and is no tenant's: each with the service accounts that have
# it, and no other. What each may do stands in a file of its own.

locals {
  # Beside those of main.tf.
  bucket_objects = var.exports_bucket_arn == null ? null : "${var.exports_bucket_arn}/*"
  repositories = join(":", [
    "arn", local.partition, "ecr",
    coalesce(var.registry.region, local.region),
    coalesce(var.registry.account, local.account),
    "repository/${var.registry.prefix}/*",
  ])

  # Where AWS takes no resource, the region at least is the environment's.
  in_region = { "aws:RequestedRegion" = local.region }

  platform = merge(
    {
      karpenter                = local.karpenter
      load-balancer-controller = local.load_balancer_controller
      argo-events              = local.argo_events
      flux                     = local.flux
      keda                     = local.keda
      external-secrets         = local.external_secrets
      external-dns             = local.external_dns
      tfstate-backup           = local.tfstate_backup
    },
    { for verb, role in local.argo_workflows : "argo-workflows-${verb}" => role },
  )
  platform_on = {
    for name, role in local.platform : name => role
    if contains(var.addons, role.addon) && (name != "external-dns" || var.zone_id != null)
  }

  # By namespace and service account.
  platform_accounts = merge([
    for name, role in local.platform_on :
    { for account in role.accounts : "${role.namespace}/${account}" => { role = name, namespace = role.namespace, account = account } }
  ]...)
}

resource "aws_iam_role" "platform" {
  for_each = local.platform_on

  name                 = "${var.environment}-tenantry-${each.key}"
  description          = each.value.description
  tags                 = local.tags
  permissions_boundary = var.permissions_boundary

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "PodsOfThisCluster"
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Condition = {
        StringEquals = {
          "aws:RequestTag/eks-cluster-arn"            = local.cluster
          "aws:RequestTag/kubernetes-namespace"       = each.value.namespace
          "aws:RequestTag/kubernetes-service-account" = each.value.accounts
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "platform" {
  for_each = local.platform_on

  name = "access"
  role = aws_iam_role.platform[each.key].id

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat([local.only_this_cluster], jsondecode(each.value.statements))
  })
}

resource "aws_eks_pod_identity_association" "platform" {
  for_each = local.platform_accounts

  cluster_name    = var.cluster_name
  namespace       = each.value.namespace
  service_account = each.value.account
  role_arn        = aws_iam_role.platform[each.value.role].arn
  tags            = local.tags
}
