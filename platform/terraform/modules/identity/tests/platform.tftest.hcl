# The roles of the cluster's own software, without AWS. What their policies allow is for
# tests/platform/iam, which takes them from these very runs.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "000000000000" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { name = "eu-west-1" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::000000000000:role/mocked" }
  }
  override_resource {
    target = aws_iam_role.karpenter_node
    values = { arn = "arn:aws:iam::000000000000:role/local-tenantry-karpenter-node" }
  }
}

variables {
  environment  = "local"
  cluster_name = "laptop"
  addons = [
    "argo-events", "argo-workflows", "aws-load-balancer-controller", "external-dns", "external-secrets",
    "flux", "karpenter", "keda", "monitoring", "tofu-controller",
  ]
  admins = ["arn:aws:iam::000000000000:role/operations", "arn:aws:iam::000000000000:user/ada"]
  control_queue_arns = {
    control     = "arn:aws:sqs:eu-west-1:000000000000:local-control"
    onboarding  = "arn:aws:sqs:eu-west-1:000000000000:local-control-onboarding"
    offboarding = "arn:aws:sqs:eu-west-1:000000000000:local-control-offboarding"
    deployment  = "arn:aws:sqs:eu-west-1:000000000000:local-control-deployment"
  }
  registry_table_arn     = "arn:aws:dynamodb:eu-west-1:000000000000:table/local-tenants"
  bus_arn                = "arn:aws:events:eu-west-1:000000000000:event-bus/local-tenantry"
  exports_bucket_arn     = "arn:aws:s3:::local-tenantry-exports-000000000000"
  interruption_queue_arn = "arn:aws:sqs:eu-west-1:000000000000:local-karpenter"
  state_copies = {
    bucket_arn = "arn:aws:s3:::local-tenantry-tfstate-000000000000"
    key_arn    = "arn:aws:kms:eu-west-1:000000000000:key/11111111-2222-3333-4444-555555555555"
  }
  vpc_id   = "vpc-0123456789abcdef0"
  zone_id  = "Z0123456789ABCDEFGHIJ"
  registry = { account = "111111111111", region = "eu-central-1", prefix = "tenantry" }
}

run "platform" {
  assert {
    condition = toset(keys(output.roles)) == toset([
      "producer", "consumer", "pool-producer", "pool-consumer", "tenant-reader", "tf-runner",
      "argo-events", "argo-workflows-deploy", "argo-workflows-move", "argo-workflows-offboard",
      "argo-workflows-onboard", "argo-workflows-reconcile", "argo-workflows-redrive",
      "argo-workflows-reject", "argo-workflows-resume", "argo-workflows-suspend", "cluster-admin",
      "external-dns", "external-secrets", "flux", "karpenter", "karpenter-node", "keda",
      "load-balancer-controller", "tfstate-backup",
    ])
    error_message = "Each add-on that is on has its roles, and ARNs are told by their names."
  }
  assert {
    condition     = alltrue([for role in aws_iam_role.platform : role.tags["tenantry:environment"] == "local"])
    error_message = "Every role says its environment."
  }
  assert {
    condition     = alltrue([for one in aws_eks_pod_identity_association.platform : one.cluster_name == "laptop"])
    error_message = "Accounts have their roles in this cluster."
  }
}

# Role names and policies have lengths that AWS bounds.
run "platform_longest" {
  variables {
    environment  = "eeeeeeeeeeeeeeeeeeee"
    cluster_name = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
  }
}

# What is off has no role, and needs nothing.
run "nothing_on" {
  variables {
    addons                 = []
    admins                 = []
    control_queue_arns     = {}
    registry_table_arn     = null
    bus_arn                = null
    exports_bucket_arn     = null
    interruption_queue_arn = null
    state_copies           = null
    vpc_id                 = null
    zone_id                = null
    registry               = { account = null, region = null, prefix = "tenantry" }
  }
  assert {
    condition     = length(output.roles) == 6
    error_message = "The six roles of services and runner, and no other."
  }
  assert {
    condition     = length(aws_eks_pod_identity_association.platform) == 0
    error_message = "No account has a role."
  }
}

run "no_zone" {
  variables {
    zone_id = null
  }
  assert {
    condition     = !contains(keys(output.roles), "external-dns")
    error_message = "Without a hosted zone there is none to write into."
  }
}

# Null: the environment's own account and region, its own table, and nobody who is told.
run "by_default" {
  variables {
    registry_table_arn = null
    bus_arn            = null
    registry           = { account = null, region = null, prefix = "tenantry" }
  }
  assert {
    condition     = strcontains(aws_iam_role_policy.platform["flux"].policy, "arn:aws:ecr:eu-west-1:000000000000:repository/tenantry/*")
    error_message = "The registry is the environment's own."
  }
  assert {
    condition     = strcontains(aws_iam_role_policy.platform["argo-workflows-onboard"].policy, "arn:aws:dynamodb:eu-west-1:000000000000:table/local-tenants")
    error_message = "The table of the environment's own name."
  }
  assert {
    condition     = !strcontains(aws_iam_role_policy.platform["argo-workflows-onboard"].policy, "events:PutEvents")
    error_message = "Nobody is told where there is no bus."
  }
}

run "on_without_what_it_needs" {
  command         = plan
  expect_failures = [var.control_queue_arns, var.exports_bucket_arn, var.interruption_queue_arn, var.state_copies, var.vpc_id]
  variables {
    control_queue_arns     = {}
    exports_bucket_arn     = null
    interruption_queue_arn = null
    state_copies           = null
    vpc_id                 = null
  }
}

run "what_is_no_admin_zone_or_prefix" {
  command         = plan
  expect_failures = [var.admins, var.zone_id, var.registry]
  variables {
    admins   = ["arn:aws:iam::000000000000:root"]
    zone_id  = "example.com"
    registry = { account = null, region = null, prefix = "tenantry/" }
  }
}
