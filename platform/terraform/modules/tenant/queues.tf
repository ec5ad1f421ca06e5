data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  # Seconds: 4 days, and 14 for dead letters, whose age goes on from when they were sent.
  retention_seconds             = 345600
  dead_letter_retention_seconds = 1209600

  # hashicorp/aws tells the region so since 6.0. From 6.0 to 6.7 its own message says the rest.
  takes_large_messages = contains(keys(data.aws_region.current), "region")
}

resource "aws_sqs_queue" "messages" {
  count = local.is_built ? 1 : 0

  name                       = local.names.queue
  max_message_size           = var.max_message_bytes
  message_retention_seconds  = local.retention_seconds
  receive_wait_time_seconds  = 20
  visibility_timeout_seconds = var.visibility_seconds
  sqs_managed_sse_enabled    = true
  tags                       = local.tags

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters[0].arn
    maxReceiveCount     = 10
  })
}

resource "aws_sqs_queue" "dead_letters" {
  count = local.is_built ? 1 : 0

  name                      = local.names.dead_letter_queue
  max_message_size          = var.max_message_bytes
  message_retention_seconds = local.dead_letter_retention_seconds
  sqs_managed_sse_enabled   = true
  tags                      = local.tags

  # The queue by its name: it is made after this one, which it refers to. As a resource of its own
  # this would take another 25 s of each apply.
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = ["arn:${data.aws_partition.current.partition}:sqs:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:${local.names.queue}"]
  })

  lifecycle {
    precondition {
      condition     = var.max_message_bytes <= 262144 || local.takes_large_messages
      error_message = "max_message_bytes of more than 262,144 needs hashicorp/aws 6.8 or later: the one that is installed makes no such queue."
    }
  }
}
