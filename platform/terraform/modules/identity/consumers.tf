# What stores messages and serves them: a tenant's own consumer, and a pool's.

resource "aws_iam_role" "consumer" {
  name                 = local.role_names["consumer"]
  description          = "Consumer of a tenant that owns one: that tenant's queue and table."
  assume_role_policy   = local.trusts["consumer"]
  tags                 = local.tags
  permissions_boundary = var.permissions_boundary
}

resource "aws_iam_role_policy" "consumer" {
  name = "access"
  role = aws_iam_role.consumer.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      local.only_this_cluster,
      local.placement_of_own,
      local.receive_own,
      {
        # A tenant that moved into a pool: what is left in its own queue follows it.
        Sid      = "ForwardToPools"
        Effect   = "Allow"
        Action   = "sqs:SendMessage"
        Resource = local.queues
        Condition = {
          StringEquals = local.in_environment
          StringLike   = local.of_a_pool
        }
      },
      {
        # PartiQLInsert, not PutItem: an insert can never replace what is stored.
        Sid      = "OwnTable"
        Effect   = "Allow"
        Action   = ["dynamodb:PartiQLInsert", "dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query"]
        Resource = local.tables
        Condition = {
          StringEquals = merge(local.in_environment, local.consumed_here)
        }
      },
      {
        # A tenant that moved out of a pool: until it is copied, what it stored is read there.
        # The namespace is the tenant's id, and so the name of its partitions.
        Sid      = "OwnPartitionsInPools"
        Effect   = "Allow"
        Action   = ["dynamodb:GetItem", "dynamodb:Query"]
        Resource = local.tables
        Condition = {
          StringEquals              = local.in_environment
          StringLike                = local.of_a_pool
          "ForAllValues:StringLike" = { "dynamodb:LeadingKeys" = [local.own_namespace, "${local.own_namespace}#*"] }
          Null                      = local.with_keys
        }
      },
    ]
  })
}

resource "aws_iam_role" "pool_consumer" {
  name                 = local.role_names["pool-consumer"]
  description          = "Consumer of a pool: writes for all its tenants, and reads none of what they sent."
  assume_role_policy   = local.trusts["pool-consumer"]
  tags                 = local.tags
  permissions_boundary = var.permissions_boundary
}

resource "aws_iam_role_policy" "pool_consumer" {
  name = "access"
  role = aws_iam_role.pool_consumer.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      local.only_this_cluster,
      local.placement_of_any,
      local.receive_own,
      {
        Sid      = "ForwardInEnvironment"
        Effect   = "Allow"
        Action   = "sqs:SendMessage"
        Resource = local.queues
        Condition = {
          StringEquals = local.in_environment
        }
      },
      {
        Sid      = "WriteOwnTable"
        Effect   = "Allow"
        Action   = "dynamodb:PartiQLInsert"
        Resource = local.tables
        Condition = {
          StringEquals = merge(local.in_environment, local.consumed_here)
        }
      },
      {
        # Of two messages under one idempotency key it sees whether they are the same, and no more:
        # without a list of attributes, Select is ALL_ATTRIBUTES.
        Sid      = "CompareDigests"
        Effect   = "Allow"
        Action   = "dynamodb:BatchGetItem"
        Resource = local.tables
        Condition = {
          StringEquals = merge(local.in_environment, local.consumed_here, {
            "dynamodb:Select" = "SPECIFIC_ATTRIBUTES"
          })
          "ForAllValues:StringEquals" = {
            "dynamodb:Attributes" = ["tenant_id", "message_id", "payload_sha256"]
          }
        }
      },
    ]
  })
}
