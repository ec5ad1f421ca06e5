# To roles that the environment made once: there is no role and no policy here.
resource "aws_eks_pod_identity_association" "services" {
  for_each = local.service_accounts

  cluster_name    = var.cluster_name
  namespace       = local.namespace
  service_account = each.key
  role_arn        = each.value

  # Whose it is, by which it is found again; not where its messages come from, which moves.
  tags = merge(var.tags, {
    for key, value in local.tags : key => value
    if contains(["tenantry:environment", "tenantry:tenant", "tenantry:tier", "tenantry:consumer-namespace"], key)
  }, { "tenantry:service-account" = each.key })
}
