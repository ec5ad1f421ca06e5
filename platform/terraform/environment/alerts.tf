# Whom it concerns is told: that a request could not be taken, and what the month costs. The e-mail
# addresses of the variables file subscribe, and each confirms once; whatever else may subscribe, too.

locals {
  # Who publishes, and on whose behalf it does.
  publishers = {
    cloudwatch = "arn:${local.partition}:cloudwatch:${var.region}:${local.account}:alarm:${var.environment}-*"
    budgets    = "arn:${local.partition}:budgets::${local.account}:budget/${local.budget}"
  }
  published_for = merge(
    {
      for service, source in local.publishers : service => {
        Condition = {
          StringEquals = { "aws:SourceAccount" = local.account }
          ArnLike      = { "aws:SourceArn" = source }
        }
      }
    },
    # Towards SNS, EventBridge fulfils no condition: with one, alarms would vanish without a word.
    { events = {} },
  )
  budget      = "${var.environment}-monthly"
  alarms_rule = "${var.environment}-tenantry-alarms"
}

# Services of AWS publish to an encrypted topic by a key whose policy names them: SNS's own does not.
resource "aws_kms_key" "alerts" {
  description             = "${var.environment}: alerts"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "AsIdentityPoliciesSay"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      }],
      [for service, condition in local.published_for : merge(condition, {
        Sid       = "${title(service)}Publishes"
        Effect    = "Allow"
        Principal = { Service = "${service}.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
      })],
    )
  })
}

resource "aws_kms_alias" "alerts" {
  name          = "alias/${var.environment}-tenantry-alerts"
  target_key_id = aws_kms_key.alerts.key_id
}

resource "aws_sns_topic" "alerts" {
  name              = "${var.environment}-alerts"
  kms_master_key_id = aws_kms_key.alerts.arn
}

resource "aws_sns_topic_policy" "alerts" {
  arn = aws_sns_topic.alerts.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [for service, condition in local.published_for : merge(condition, {
      Sid       = "${title(service)}Publishes"
      Effect    = "Allow"
      Principal = { Service = "${service}.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alerts.arn
    })]
  })
}

resource "aws_sns_topic_subscription" "alerts" {
  for_each = toset(var.alerts.emails)

  topic_arn = aws_sns_topic.alerts.arn
  protocol  = "email"
  endpoint  = each.value
}

# A request that nobody could take. A queue that nobody used for six hours has no metrics: `ignore`
# keeps the state that was last seen.
resource "aws_cloudwatch_metric_alarm" "control_dead_letters" {
  for_each = aws_sqs_queue.control_dead_letters

  alarm_name          = "${each.value.name}-waiting"
  alarm_description   = "A request of ${local.control_queues[each.key]} could not be taken, and waits in ${each.value.name} until somebody looks."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = each.value.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "ignore"
  alarm_actions       = [aws_sns_topic.alerts.arn]
  ok_actions          = [aws_sns_topic.alerts.arn]

  depends_on = [aws_sns_topic_policy.alerts]
}

# Alarms of tenants' and pools' queues have no action of their own: they are made in the cluster, by
# a role that knows no topic. Those above have theirs.
resource "aws_cloudwatch_event_rule" "alarms" {
  name        = local.alarms_rule
  description = "Alarms of instances, when they begin and end."

  event_pattern = jsonencode({
    source      = ["aws.cloudwatch"]
    detail-type = ["CloudWatch Alarm State Change"]
    resources   = [{ prefix = "arn:${local.partition}:cloudwatch:${var.region}:${local.account}:alarm:${var.environment}-" }]
    detail = {
      alarmName = [{ anything-but = values(aws_cloudwatch_metric_alarm.control_dead_letters)[*].alarm_name }]
      "$or" = [
        { state = { value = ["ALARM"] } },
        # Not each new alarm's first look.
        { state = { value = ["OK"] }, previousState = { value = ["ALARM"] } },
      ]
    }
  })
}

resource "aws_cloudwatch_event_target" "alarms" {
  rule = aws_cloudwatch_event_rule.alarms.name
  arn  = aws_sns_topic.alerts.arn

  depends_on = [aws_sns_topic_policy.alerts]
}

# What bears the environment's tag. It counts from the day on which the account's payer made
# tenantry:environment a cost allocation tag; until then it sees nothing.
resource "aws_budgets_budget" "monthly" {
  name         = local.budget
  budget_type  = "COST"
  limit_amount = tostring(var.limits.monthly_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  cost_filter {
    name   = "TagKeyValue"
    values = [join("$", ["user:tenantry:environment", var.environment])]
  }

  dynamic "notification" {
    for_each = { FORECASTED = 80, ACTUAL = 100 }
    content {
      notification_type         = notification.key
      comparison_operator       = "GREATER_THAN"
      threshold                 = notification.value
      threshold_type            = "PERCENTAGE"
      subscriber_sns_topic_arns = [aws_sns_topic.alerts.arn]
    }
  }

  depends_on = [aws_sns_topic_policy.alerts]
}
