# Requests to the control plane: a queue of our own form, and the reference implementation's three.
# The fleet's EventSource reads them by these names; what came of requests is told on the bus.

locals {
  control_queues = { for kind in ["", "-onboarding", "-offboarding", "-deployment"] : "control${kind}" => "${var.environment}-control${kind}" }
  queue_arn      = "arn:${local.partition}:sqs:${var.region}:${local.account}"
}

resource "aws_sqs_queue" "control" {
  for_each = local.control_queues

  name                       = each.value
  message_retention_seconds  = 345600 # 4 days
  receive_wait_time_seconds  = 20
  visibility_timeout_seconds = 60
  sqs_managed_sse_enabled    = true

  # What is no JSON is never taken: it is a dead letter after five times.
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.control_dead_letters[each.key].arn
    maxReceiveCount     = 5
  })
}

resource "aws_sqs_queue" "control_dead_letters" {
  for_each = local.control_queues

  name                      = "${each.value}-dead-letters"
  message_retention_seconds = 1209600 # 14 days
  sqs_managed_sse_enabled   = true

  # The queue by its name: it is made after this one, which it refers to.
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = ["${local.queue_arn}:${each.value}"]
  })
}

resource "aws_cloudwatch_event_bus" "outcomes" {
  name        = "${var.environment}-tenantry"
  description = "What came of requests to the control plane of ${var.environment}."
}
