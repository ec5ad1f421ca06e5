# What the roles of an environment share: names, conditions, and who may assume them.
#
# Nobody has a role of their own here. A pod's session says by its tags, which EKS sets, who it is
# (cluster, namespace, service account); queues and tables say by theirs whose they are. Policies
# compare the two. Sources of what each service lets a policy ask for are in README.md.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name

  # A regional ARN up to its resource part.
  arn = {
    for service in ["cloudwatch", "dynamodb", "eks", "sqs"] :
    service => "arn:${local.partition}:${service}:${local.region}:${local.account}"
  }

  # No name of an instance's queue, dead-letter queue or table fits another of these patterns.
  queues       = "${local.arn.sqs}:${var.environment}-*-messages"
  dead_letters = "${local.arn.sqs}:${var.environment}-*-messages-dead-letters"
  tables       = "${local.arn.dynamodb}:table/${var.environment}-*-messages"
  registry     = "${local.arn.dynamodb}:table/${var.environment}-tenants"
  cluster      = "${local.arn.eks}:cluster/${var.cluster_name}"

  role_names = {
    for role in ["producer", "consumer", "pool-producer", "pool-consumer", "tenant-reader", "tf-runner"] :
    role => "${var.environment}-tenantry-${role}"
  }

  tags = merge(var.tags, { "tenantry:environment" = var.environment })

  # The namespace is a pool's name or a tenant's id. No tenant's id begins like a pool's.
  own_namespace = "$${aws:PrincipalTag/kubernetes-namespace}"
  pools         = "pool-*"

  # Conditions. A queue or table whose tags cannot be seen fits none of them.
  in_environment = { "aws:ResourceTag/tenantry:environment" = var.environment }
  produced_here  = { "aws:ResourceTag/tenantry:producer-namespace" = local.own_namespace }
  consumed_here  = { "aws:ResourceTag/tenantry:consumer-namespace" = local.own_namespace }
  of_a_pool      = { "aws:ResourceTag/tenantry:consumer-namespace" = local.pools }

  # ForAllValues holds for a request without keys, so that a second condition asks for some.
  with_keys = { "dynamodb:LeadingKeys" = "false" }

  # Part of every role. A tag that is not there is not equal either: such a session is denied, too.
  only_this_cluster = {
    Sid      = "OnlyThisCluster"
    Effect   = "Deny"
    Action   = "*"
    Resource = "*"
    Condition = {
      StringNotEquals = { "aws:PrincipalTag/eks-cluster-name" = var.cluster_name }
    }
  }

  placement_of_any = {
    Sid      = "PlacementOfAnyTenant"
    Effect   = "Allow"
    Action   = "dynamodb:GetItem"
    Resource = local.registry
  }

  placement_of_own = {
    Sid      = "OwnPlacement"
    Effect   = "Allow"
    Action   = "dynamodb:GetItem"
    Resource = local.registry
    Condition = {
      "ForAllValues:StringLike" = { "dynamodb:LeadingKeys" = [local.own_namespace] }
      Null                      = local.with_keys
    }
  }

  receive_own = {
    Sid      = "ReceiveFromOwnQueue"
    Effect   = "Allow"
    Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
    Resource = local.queues
    Condition = {
      StringEquals = merge(local.in_environment, local.consumed_here)
    }
  }

  # A tag that is missing is unlike every pattern, and so it must be there.
  not_a_pools = { StringNotLike = local.pools, Null = "false" }

  # Who may become a role: pods of this cluster, by their service account and namespace.
  trusts = {
    for role, who in {
      producer      = { account = "producer", namespace = local.not_a_pools }
      consumer      = { account = "consumer", namespace = local.not_a_pools }
      pool-producer = { account = "producer", namespace = { StringLike = local.pools } }
      pool-consumer = { account = "consumer", namespace = { StringLike = local.pools } }
      tf-runner     = { account = "tf-runner", namespace = { StringLike = "tenant-infra" } }
    } :
    role => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Sid       = "PodsOfThisCluster"
        Effect    = "Allow"
        Principal = { Service = "pods.eks.amazonaws.com" }
        Action    = ["sts:AssumeRole", "sts:TagSession"]
        Condition = merge(
          {
            StringEquals = {
              # The ARN, not the name: two regions may have clusters of one name.
              "aws:RequestTag/eks-cluster-arn"            = local.cluster
              "aws:RequestTag/kubernetes-service-account" = who.account
            }
          },
          { for operator, value in who.namespace : operator => { "aws:RequestTag/kubernetes-namespace" = value } },
        )
      }]
    })
  }
}
