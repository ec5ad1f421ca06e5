# What tenantctl may do in AWS, by verb: an account for each, as the control plane in the fleet has
# them. Which calls a verb makes is recorded by tests/platform/iam.
#
# Queues are looked at, and tables described, by name alone: what is gone has no tags, and has to be
# seen to be gone. No other environment's names begin like this one's.

locals {
  placements = coalesce(var.registry_table_arn, local.registry)

  # How a verb is called in the events that say what came of it.
  verb_events = {
    deploy    = "deployment"
    move      = "move"
    offboard  = "offboarding"
    onboard   = "onboarding"
    reconcile = "reconcile"
    redrive   = "redrive"
    reject    = "request"
    resume    = "activate"
    suspend   = "deactivate"
  }

  # What is unlike a pool's has to say whose it is.
  with_owner = { for key, _ in local.of_a_pool : key => "false" }

  # Conditional on what was read: that is tenantctl's to ask for, and no policy can.
  write_placements = {
    Sid      = "WritePlacements"
    Effect   = "Allow"
    Action   = ["dynamodb:GetItem", "dynamodb:PutItem"]
    Resource = local.placements
  }
  see_queues = {
    Sid      = "SeeQueues"
    Effect   = "Allow"
    Action   = "sqs:GetQueueAttributes"
    Resource = local.queues
  }
  find_queues = {
    Sid      = "FindQueues"
    Effect   = "Allow"
    Action   = ["sqs:GetQueueUrl", "sqs:GetQueueAttributes"]
    Resource = [local.queues, local.dead_letters]
  }
  take_dead_letters = {
    Sid       = "TakeDeadLetters"
    Effect    = "Allow"
    Action    = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
    Resource  = local.dead_letters
    Condition = { StringEquals = local.in_environment }
  }
  send_on = {
    Sid       = "SendOn"
    Effect    = "Allow"
    Action    = "sqs:SendMessage"
    Resource  = local.queues
    Condition = { StringEquals = local.in_environment }
  }
  see_tables = {
    Sid      = "SeeTables"
    Effect   = "Allow"
    Action   = "dynamodb:DescribeTable"
    Resource = local.tables
  }

  verbs = {
    deploy = [
      {
        Sid      = "CountDeadLetters"
        Effect   = "Allow"
        Action   = ["sqs:GetQueueUrl", "sqs:GetQueueAttributes"]
        Resource = local.dead_letters
      },
      {
        # It takes no resource; what it gives opens what the next statement says.
        Sid       = "SignInToRegistry"
        Effect    = "Allow"
        Action    = "ecr:GetAuthorizationToken"
        Resource  = "*"
        Condition = { StringEquals = { "aws:RequestedRegion" = coalesce(var.registry.region, local.region) } }
      },
      {
        Sid      = "LookAtReleases"
        Effect   = "Allow"
        Action   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = local.repositories
      },
    ]
    move = [
      local.write_placements,
      local.find_queues,
      local.see_tables,
      local.send_on,
      local.take_dead_letters,
      {
        # Off a tenant's own queue that is left. What waits on a pool's its consumers forward.
        Sid      = "TakeMessages"
        Effect   = "Allow"
        Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
        Resource = local.queues
        Condition = {
          StringEquals  = local.in_environment
          StringNotLike = local.of_a_pool
          Null          = local.with_owner
        }
      },
      {
        # Copied by inserts, which replace nothing. What was stored first of a key that was used on
        # both sides of a switch is put in the place of the second.
        Sid    = "MoveItems"
        Effect = "Allow"
        Action = [
          "dynamodb:BatchGetItem",
          "dynamodb:DeleteItem",
          "dynamodb:PartiQLInsert",
          "dynamodb:PutItem",
          "dynamodb:Query",
        ]
        Resource  = local.tables
        Condition = { StringEquals = local.in_environment }
      },
      {
        # The protection of a tenant's own table that is left is taken off; there is no key for that
        # alone.
        Sid      = "Unseal"
        Effect   = "Allow"
        Action   = "dynamodb:UpdateTable"
        Resource = local.tables
        Condition = {
          StringEquals  = local.in_environment
          StringNotLike = local.of_a_pool
          Null          = local.with_owner
        }
      },
      {
        # Whether such a table is empty. One that was never made has no tags.
        Sid      = "SeeThatItIsEmpty"
        Effect   = "Allow"
        Action   = "dynamodb:Scan"
        Resource = local.tables
        Condition = {
          StringEqualsIfExists = local.in_environment
          StringNotLike        = local.of_a_pool
        }
      },
    ]
    offboard = [
      local.write_placements,
      local.find_queues,
      local.see_tables,
      {
        Sid       = "ReadLettersAndItems"
        Effect    = "Allow"
        Action    = ["sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "dynamodb:Query"]
        Resource  = [local.dead_letters, local.tables]
        Condition = { StringEquals = local.in_environment }
      },
      {
        # What is the tenant's own goes as a whole, by its Terraform.
        Sid      = "DeleteFromPools"
        Effect   = "Allow"
        Action   = ["sqs:DeleteMessage", "dynamodb:DeleteItem"]
        Resource = [local.dead_letters, local.tables]
        Condition = {
          StringEquals = local.in_environment
          StringLike   = local.of_a_pool
        }
      },
      {
        # How old the oldest message of a pool's queue is. It takes no resource.
        Sid       = "MeasureQueues"
        Effect    = "Allow"
        Action    = "cloudwatch:GetMetricStatistics"
        Resource  = "*"
        Condition = { StringEquals = local.in_region }
      },
      {
        # Written, and read back; the parts of what was killed are taken away.
        Sid      = "Export"
        Effect   = "Allow"
        Action   = ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"]
        Resource = local.bucket_objects
      },
      {
        # Without it S3 does not say that an object is not there, but that it is denied.
        Sid      = "SeeThatThereIsNoExport"
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = var.exports_bucket_arn
      },
    ]
    onboard = [local.write_placements, local.see_queues]
    reconcile = [
      local.write_placements,
      local.see_queues,
      {
        Sid      = "ReadAllPlacements"
        Effect   = "Allow"
        Action   = "dynamodb:Scan"
        Resource = local.placements
      },
      {
        # Names, not what they hold. It takes no resource.
        Sid       = "SeeLists"
        Effect    = "Allow"
        Action    = ["sqs:ListQueues", "dynamodb:ListTables"]
        Resource  = "*"
        Condition = { StringEquals = local.in_region }
      },
    ]
    redrive = [
      {
        Sid      = "ReadPlacements"
        Effect   = "Allow"
        Action   = "dynamodb:GetItem"
        Resource = local.placements
      },
      {
        Sid      = "FindDeadLetters"
        Effect   = "Allow"
        Action   = "sqs:GetQueueUrl"
        Resource = local.dead_letters
      },
      local.take_dead_letters,
      local.send_on,
    ]
    reject  = []
    resume  = [local.write_placements]
    suspend = [local.write_placements]
  }

  argo_workflows = {
    for verb, event in local.verb_events : verb => {
      addon       = "argo-workflows"
      description = "tenantctl, for the verb ${verb}."
      namespace   = "argo-control"
      accounts    = [verb]
      statements = jsonencode(concat(local.verbs[verb], var.bus_arn == null ? [] : [{
        # What came of this verb, and of no other.
        Sid      = "TellOutcome"
        Effect   = "Allow"
        Action   = "events:PutEvents"
        Resource = var.bus_arn
        Condition = {
          "ForAllValues:StringEquals" = {
            "events:source"      = ["tenantry.controlPlane"]
            "events:detail-type" = ["${event}Success", "${event}Failure"]
          }
          Null = { "events:source" = "false", "events:detail-type" = "false" }
        }
      }]))
    }
  }
}
