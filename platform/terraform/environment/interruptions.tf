# What AWS is about to do to machines, for Karpenter: so nodes are drained before they are gone.

locals {
  interruptions = {
    spot        = { source = "aws.ec2", detail-type = "EC2 Spot Instance Interruption Warning" }
    rebalance   = { source = "aws.ec2", detail-type = "EC2 Instance Rebalance Recommendation" }
    state       = { source = "aws.ec2", detail-type = "EC2 Instance State-change Notification" }
    reservation = { source = "aws.ec2", detail-type = "EC2 Capacity Reservation Instance Interruption Warning" }
    health      = { source = "aws.health", detail-type = "AWS Health Event" }
  }
}

resource "aws_sqs_queue" "interruptions" {
  name                      = "${var.environment}-karpenter"
  message_retention_seconds = 300 # a warning is of two minutes
  sqs_managed_sse_enabled   = true

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RulesOfThisEnvironment"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = "${local.queue_arn}:${var.environment}-karpenter"
        Condition = { ArnLike = { "aws:SourceArn" = "arn:${local.partition}:events:${var.region}:${local.account}:rule/${var.environment}-karpenter-*" } }
      },
      {
        Sid       = "NothingInTheClear"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = "${local.queue_arn}:${var.environment}-karpenter"
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

resource "aws_cloudwatch_event_rule" "interruptions" {
  for_each = local.interruptions

  name          = "${var.environment}-karpenter-${each.key}"
  description   = "${each.value.detail-type}, for Karpenter."
  event_pattern = jsonencode({ source = [each.value.source], detail-type = [each.value.detail-type] })
}

resource "aws_cloudwatch_event_target" "interruptions" {
  for_each = local.interruptions

  rule      = aws_cloudwatch_event_rule.interruptions[each.key].name
  target_id = "karpenter"
  arn       = aws_sqs_queue.interruptions.arn
}
