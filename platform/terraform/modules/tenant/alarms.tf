# An alarm has no action: CloudWatch sends each change of state to EventBridge, where the
# environment has one rule for all. A queue that nobody used for six hours has no metrics:
# `ignore` keeps the state that was last seen.
resource "aws_cloudwatch_metric_alarm" "oldest_message" {
  count = local.is_built ? 1 : 0

  alarm_name          = "${local.names.queue}-oldest-message"
  alarm_description   = "A message of ${local.names.queue} waits for more than a quarter of the queue's retention: when that ends, it is lost."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = local.names.queue }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = local.retention_seconds / 4
  treat_missing_data  = "ignore"
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  count = local.is_built ? 1 : 0

  alarm_name          = "${local.names.dead_letter_queue}-waiting"
  alarm_description   = "A message of ${local.names.queue} could not be stored, and waits in ${local.names.dead_letter_queue} until somebody looks."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = local.names.dead_letter_queue }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "ignore"
  tags                = local.tags
}
