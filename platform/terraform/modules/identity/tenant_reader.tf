# What a pool's consumer becomes to read for one tenant: its session carries the tag `tenant`.

locals {
  own_partitions = {
    "ForAllValues:StringLike" = {
      # "#" is no letter of a tenant's id, and "*" cannot stand in the value of a session's tag.
      "dynamodb:LeadingKeys" = ["$${aws:PrincipalTag/tenant}", "$${aws:PrincipalTag/tenant}#*"]
    }
    Null = local.with_keys
  }
}

resource "aws_iam_role" "tenant_reader" {
  name                 = local.role_names["tenant-reader"]
  description          = "Reads one tenant's partitions; assumed by the consumer of its pool."
  tags                 = local.tags
  permissions_boundary = var.permissions_boundary

  # A role that is named here needs no permission of its own to assume this one. Its session's tags
  # are transitive: cluster and namespace come along, and cannot be replaced.
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ConsumersOfPoolsForOneTenant"
      Effect    = "Allow"
      Principal = { AWS = aws_iam_role.pool_consumer.arn }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Condition = {
        Null = { "aws:RequestTag/tenant" = "false" }
      }
    }]
  })
}

resource "aws_iam_role_policy" "tenant_reader" {
  name = "access"
  role = aws_iam_role.tenant_reader.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      local.only_this_cluster,
      {
        Sid      = "OwnPartitions"
        Effect   = "Allow"
        Action   = ["dynamodb:GetItem", "dynamodb:Query"]
        Resource = local.tables
        Condition = merge(local.own_partitions, {
          StringEquals = merge(local.in_environment, local.consumed_here)
        })
      },
      {
        # A tenant that moves into the pool: until it is copied, what it stored is read in the table
        # it leaves, which says so by a tag as long as the move takes.
        Sid      = "OwnPartitionsWhereItLeaves"
        Effect   = "Allow"
        Action   = ["dynamodb:GetItem", "dynamodb:Query"]
        Resource = local.tables
        Condition = merge(local.own_partitions, {
          StringEquals = merge(local.in_environment, {
            "aws:ResourceTag/tenantry:moving-to" = local.own_namespace
          })
        })
      },
    ]
  })
}
