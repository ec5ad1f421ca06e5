# What takes messages in: a tenant's own producer, and a pool's.

resource "aws_iam_role" "producer" {
  name                 = local.role_names["producer"]
  description          = "Producer of a tenant that owns one: sends to that tenant's queue."
  assume_role_policy   = local.trusts["producer"]
  tags                 = local.tags
  permissions_boundary = var.permissions_boundary
}

resource "aws_iam_role_policy" "producer" {
  name = "access"
  role = aws_iam_role.producer.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      local.only_this_cluster,
      local.placement_of_own,
      {
        # SendMessageBatch too: SQS authorises batches by the single action.
        Sid      = "SendToOwnQueue"
        Effect   = "Allow"
        Action   = "sqs:SendMessage"
        Resource = local.queues
        Condition = {
          StringEquals = merge(local.in_environment, local.produced_here)
        }
      },
    ]
  })
}

resource "aws_iam_role" "pool_producer" {
  name                 = local.role_names["pool-producer"]
  description          = "Producer of a pool: sends to the queue where a tenant is placed."
  assume_role_policy   = local.trusts["pool-producer"]
  tags                 = local.tags
  permissions_boundary = var.permissions_boundary
}

resource "aws_iam_role_policy" "pool_producer" {
  name = "access"
  role = aws_iam_role.pool_producer.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      local.only_this_cluster,
      local.placement_of_any,
      {
        # Of any tenant: clients come here for a while after their tenant moved away.
        Sid      = "SendInEnvironment"
        Effect   = "Allow"
        Action   = "sqs:SendMessage"
        Resource = local.queues
        Condition = {
          StringEquals = local.in_environment
        }
      },
    ]
  })
}
